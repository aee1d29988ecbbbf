import { type Finding, finding } from '../../contract/reasons.ts';
import type { Logger } from '../../observability/logger.ts';
import { describeUnknown, type Held, type HeldReports } from '../containers/held-reports.ts';
import { describeHolder } from '../containers/identity.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { bindClass, removePlace, unbindClass } from './bind.ts';
import type { LiveRecord } from './directory.ts';
import type { Plan } from './plan.ts';

/** A class that was taken away from a running pod lately, and who still has files or devices of it open. */
export interface TakenReport extends Held {
  readonly podUid: string;
  /** `namespace/name`. */
  readonly pod: string;
  /** `media/usb` */
  readonly class: string;
  readonly at: string;
}

export interface ApplyOptions {
  readonly runDir: RunDir;
  readonly log: Logger;
  readonly taken: HeldReports<TakenReport>;
}

/** Does what the plan says, as far as it can be done. @returns what could not be */
export async function apply(
  podUid: string,
  { pod }: LiveRecord,
  { taken, strays, given }: Plan,
  { runDir, log, taken: reports }: ApplyOptions,
): Promise<Finding[]> {
  const failures: Finding[] = [];
  const attempt = async (what: string, action: () => Promise<string | undefined> | undefined): Promise<void> => {
    const detail = await problemOf(action);
    if (detail === undefined) return;
    failures.push(finding('live_failed', { what, detail }));
    log.error({ podUid, pod, class: what }, `the live pod's directory is not as it should be: ${detail}`);
  };
  for (const bind of taken) {
    await attempt(bind.place, async () => {
      const { held, askHolders, problem } = await unbindClass(runDir, podUid, bind);
      if (problem !== undefined) return problem;
      reports.add({ podUid, pod, class: bind.place, at: new Date().toISOString(), ...held }, askHolders);
      log.info({ podUid, pod, class: bind.place }, 'taken away from the running pod');
      for (const report of held.holders) {
        log.warn({ class: bind.place, ...report }, `it is taken away, and ${describeHolder(report)}`);
      }
      if (held.holdersProblem !== undefined)
        log.warn({ podUid, pod, class: bind.place }, `it is taken away, and ${describeUnknown(held.holdersProblem)}`);
      return undefined;
    });
  }
  for (const place of strays) await attempt(place, () => removePlace(runDir, podUid, place));
  for (const [place, source] of given) {
    await attempt(place, () => {
      bindClass(runDir, podUid, place, source);
      log.info({ podUid, pod, class: place, source }, 'given to the running pod');
      return undefined;
    });
  }
  return failures;
}

async function problemOf(action: () => Promise<string | undefined> | undefined): Promise<string | undefined> {
  try {
    return await action();
  } catch (error) {
    return (error as Error).message;
  }
}
