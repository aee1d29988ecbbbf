import { readBlockDevice } from '../../linux/block.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Mounted } from './actual.ts';
import { type Crashes, CrashLog } from './crashes.ts';
import { type Answer, askServer, isServed } from './fuse.ts';
import { isGone } from './plan.ts';

const WELL: Answer = { died: false, hangs: false, stuck: undefined };

/** The FUSE programs by which disks are mounted: which of them live, and how often they have died. */
export class FuseServers {
  readonly #log: Logger;
  readonly #crashes = new CrashLog();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether the disk's program has died, or hangs. @param mounted where the disk is mounted, if it is */
  async ask(disk: string, mounted: Mounted | undefined): Promise<Answer> {
    if (!mounted || !isServed(mounted) || isGone(readBlockDevice(disk), mounted.record)) return WELL;
    const answer = await askServer(mounted);
    if (answer.died) {
      this.#log.warn({ disk }, 'the FUSE program that served it has died: it is mounted anew');
      this.#crashes.died(disk, Date.now() - Date.parse(mounted.record.since));
    }
    return answer;
  }

  /** Crashes on the last medium say nothing about the next. */
  forget(disk: string): void {
    this.#crashes.forget(disk);
  }

  crashesOf(disk: string): Crashes | undefined {
    return this.#crashes.of(disk);
  }
}
