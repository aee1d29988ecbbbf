import { LXCFS_VIEW_NAMES, LXCFS_VIEWS } from '../../contract/wants.ts';
import { type ChildResult, runChild } from '../../linux/child.ts';
import { patient } from '../../linux/slowness.ts';
import { FILES } from './attach-plan.ts';
import { type Cgroups, inNodeCgroups, type LimitedCgroup, makeLimitedCgroup } from './cgroups.ts';
import { nodeTold, parseSummary, SUMMARIZE, type Told, type Untrue, untrueViews } from './truth.ts';

export type ProbeResult =
  | {
      readonly outcome: 'ready';
      /** Paths below its root. */
      readonly files: readonly string[];
      /** Views that tell the node's values. */
      readonly untrue: readonly Untrue[];
    }
  | { readonly outcome: 'hung' }
  /** It answers, but not what a container should read; another try would not change that. */
  | { readonly outcome: 'unfit'; readonly detail: string }
  | { readonly outcome: 'failed'; readonly detail: string };

/** ms. lxcfs answers within one; a busy node takes longer to start the children. */
const DEADLINE = patient(4000);
const LIMIT = 64 << 20;

/**
 * Reads as a container would: as the first process of a PID namespace, in a cgroup with a memory limit. That lxcfs runs, and its files
 * are there, proves nothing: where it does not understand the node's cgroups it serves the node's values. Only children touch it.
 */
export async function probeInstance(mountPoint: string, cgroups: Cgroups): Promise<ProbeResult> {
  let cgroup: LimitedCgroup;
  try {
    cgroup = makeLimitedCgroup(cgroups, `${process.pid}-${nextProbe++}`, LIMIT);
  } catch (error) {
    return { outcome: 'failed', detail: `a cgroup to test it in could not be made: ${(error as Error).message}` };
  }
  try {
    const node = nodeTold();
    const [program, ...args] = inNodeCgroups('sh', '-c', ENTER, mountPoint, READ, SUMMARIZE, ...cgroup.procs);
    const result = await runChild(program, args, { deadline: DEADLINE });
    return readProbe(result, cgroup.isWhole ? node : {}, cgroup.limitsCpu && cgroup.isWhole ? 1 : undefined);
  } catch (error) {
    return { outcome: 'failed', detail: (error as Error).message };
  } finally {
    cgroup.close();
  }
}
let nextProbe = 1;

/** Reads every file once, in a child: whether lxcfs still answers. */
export async function isAlive(mountPoint: string): Promise<boolean> {
  try {
    const { timedOut } = await runChild('sh', ['-c', 'cd "$0" && cat proc/* > /dev/null', mountPoint], {
      deadline: DEADLINE,
    });
    return !timedOut;
  } catch {
    // That no child can be started says nothing about lxcfs.
    return true;
  }
}

/** `--fork`: only a child is in the new PID namespace. */
const ENTER =
  'read=$1 awk=$2; shift 2; echo 0 > "$1" || exit; shift; for procs; do echo 0 > "$procs"; done; exec unshare --pid --fork --kill-child -- sh -c "$read" "$0" "$awk"';
const READ = `cd "$0" || exit; awk=$1; set --; for f in ${FILES.map((file) => file.slice(1)).join(' ')}; do
  [ -e "$f" ] || continue
  echo "serves /$f"
  case $f in proc/meminfo) cat $f || exit ;; sys/devices/system/cpu) set -- "$@" $f/online ;; proc/slabinfo | */cpu/online | proc/pressure/*) ;; *) set -- "$@" $f ;; esac
done; awk "$awk" "$@"; [ -e sys ] && echo answers; true`;

/** What the reader's output means. */
export function readProbe(
  { code, stdout, stderr, timedOut }: Pick<ChildResult, 'code' | 'stdout' | 'stderr' | 'timedOut'>,
  node: Told = {},
  maxCpus?: number,
): ProbeResult {
  if (timedOut) return { outcome: 'hung' };
  const total = Number(/^MemTotal:\s+(\d+) kB$/m.exec(stdout)?.[1]) * 1024;
  if (Number.isNaN(total) && /^answers$/m.test(stdout))
    return { outcome: 'unfit', detail: 'it shows a reader no /proc/meminfo' };
  if (code !== 0 || Number.isNaN(total)) {
    return { outcome: 'failed', detail: stderr.trim() || `the reader ended with code ${code}` };
  }
  if (total !== LIMIT) {
    return {
      outcome: 'unfit',
      detail: `a reader with a memory limit of ${LIMIT >> 20} MiB was told MemTotal ${total / 1024} kB: this lxcfs does not understand the node's cgroups, or does not run in the node's PID namespace (\`hostPID: true\`)`,
    };
  }
  const files = [...stdout.matchAll(/^serves (.+)$/gm)].map(([, file]) => file as string);
  const views = LXCFS_VIEW_NAMES.filter((view) => files.includes(LXCFS_VIEWS[view]));
  return { outcome: 'ready', files, untrue: untrueViews(parseSummary(stdout, views), node, maxCpus) };
}
