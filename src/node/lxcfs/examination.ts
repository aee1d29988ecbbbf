import { runChild } from '../../linux/child.ts';
import { patient } from '../../linux/slowness.ts';
import type { Logger } from '../../observability/logger.ts';
import { backOff } from '../reconcile/back-off.ts';
import { type Cgroups, inNodeCgroups, makeLimitedCgroup } from './cgroups.ts';
import type { InstanceRecord } from './layout.ts';
import { nodeTold, parseSummary, SUMMARIZE, type Untrue, untrueViews } from './truth.ts';

/** ms. */
const DEADLINE = patient(10_000);
const MIB = 1 << 20;
const LIMIT = 64 * MIB;
/** Of the limit, in a tmpfs. */
const FILLED = 24 * MIB;

/** ms after which an examination that has failed is made again. */
const RETRY = { first: 10_000, last: 600_000 };

/** One for each program: instances of the same one are alike. */
export class Examinations {
  readonly #log: Logger;
  readonly #found = new Map<string, Promise<readonly Untrue[]>>();
  /** By fingerprint: failures in a row, and until when it is left at that, in ms of `performance.now()`. */
  readonly #failed = new Map<string, { readonly failures: number; readonly until: number }>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** What the first instance of its program has told wrong. What cannot be found out now is not known to be wrong. */
  async of({ record, mountPoint }: Examined, cgroups: Cgroups | undefined): Promise<readonly Untrue[]> {
    const { fingerprint } = record;
    if (!cgroups) return [];
    const known = this.#found.get(fingerprint);
    if (known) return known;
    if (performance.now() < (this.#failed.get(fingerprint)?.until ?? 0)) return [];
    const found = this.#examine({ record, mountPoint }, cgroups);
    this.#found.set(fingerprint, found);
    return found;
  }

  async #examine({ record, mountPoint }: Examined, cgroups: Cgroups): Promise<readonly Untrue[]> {
    const { fingerprint, version: lxcfs } = record;
    try {
      const found = await examine(mountPoint, cgroups);
      for (const { view, why } of found) this.#log.info({ lxcfs, view, why }, 'this lxcfs is not right in all pods');
      return found;
    } catch (error) {
      this.#log.debug({ err: error, lxcfs }, 'lxcfs could not be examined further');
      const failures = (this.#failed.get(fingerprint)?.failures ?? 0) + 1;
      this.#failed.set(fingerprint, { failures, until: performance.now() + backOff(failures, RETRY) });
      this.#found.delete(fingerprint);
      return [];
    }
  }
}

interface Examined {
  readonly record: Pick<InstanceRecord, 'fingerprint' | 'version'>;
  readonly mountPoint: string;
}

/**
 * What the probe leaves out, which must not keep an instance from serving: a reader whose limits are those of its cgroup's parent, as in
 * pods with `spec.resources` alone, and which has a tmpfs that nothing can be reclaimed from. The same for all instances of a program.
 * @returns where it is told wrong
 * @throws Error where that cannot be found out here
 */
async function examine(mountPoint: string, cgroups: Cgroups): Promise<Untrue[]> {
  const cgroup = makeLimitedCgroup(cgroups, `${process.pid}-examination-${nextExamination++}`, LIMIT, {
    isNested: true,
  });
  try {
    const [program, ...args] = inNodeCgroups('sh', '-c', ENTER, mountPoint, READ, SUMMARIZE, ...cgroup.procs);
    const { code, stdout, stderr, timedOut } = await runChild(program, args, { deadline: DEADLINE });
    if (timedOut || code !== 0) throw new Error(timedOut ? 'the reader did not end' : stderr.trim());
    return findings(stdout, cgroup.limitsCpu && cgroup.isWhole ? 1 : undefined);
  } finally {
    cgroup.close();
  }
}

let nextExamination = 1;

const ENTER =
  'read=$1 awk=$2; shift 2; for procs; do echo 0 > "$procs" || exit; done; exec unshare --mount --pid --fork --kill-child -- sh -c "$read" "$0" "$awk"';
const READ = `cd "$0" || exit; mount -t tmpfs -o size=32m hotmount /mnt && head -c ${FILLED} /dev/zero > /mnt/filled && echo filled
cat proc/meminfo || exit; awk "$1" proc/cpuinfo proc/stat sys/devices/system/cpu/online 2> /dev/null; true`;

/** What the reader's output means. @param maxCpus undefined where the node does not limit processors */
export function findings(output: string, maxCpus: number | undefined, nodeCpus = nodeTold().cpuOnline ?? 1): Untrue[] {
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(output)?.[1]);
  const total = kilobytes('MemTotal');
  const available = kilobytes('MemAvailable');
  const partly = (view: Untrue['view'], why: string): Untrue => ({ view, why, isPartly: true });
  const found: Untrue[] = [];
  if (total !== LIMIT / 1024) found.push(partly('meminfo', `${total} kB ${BY_POD} ${LIMIT / 1024} kB`));
  else if (/^filled$/m.test(output) && available > (LIMIT - FILLED) / 1024)
    found.push(
      partly('meminfo', `${available} kB available of ${total} kB, of which a tmpfs fills ${FILLED / 1024} kB`),
    );
  const processors = parseSummary(output, ['cpuinfo', 'stat', 'cpu']);
  for (const { view, why } of untrueViews(processors, { cpuOnline: nodeCpus }, maxCpus))
    found.push(partly(view, `${why.split(',')[0]} ${BY_POD} ${maxCpus}`));
  return found;
}

const BY_POD = 'in a container without limits of its own, in a pod that has';
