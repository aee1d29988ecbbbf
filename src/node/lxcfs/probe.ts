import { type ChildResult, runChild } from '../../linux/child.ts';
import { FILES } from './attach-plan.ts';
import { type Cgroups, makeLimitedCgroup } from './cgroups.ts';

export type ProbeResult =
  | { readonly outcome: 'ready' /** Paths below its root. */; readonly files: readonly string[] }
  | { readonly outcome: 'hung' }
  /** It answers, but not what a container should read; another try would not change that. */
  | { readonly outcome: 'unfit'; readonly detail: string }
  | { readonly outcome: 'failed'; readonly detail: string };

/** ms. lxcfs answers within one; a busy node takes longer to start the children. */
const DEADLINE = 4000;
const LIMIT = 64 << 20;

/**
 * Reads as a container would: as the first process of a PID namespace, in a cgroup with a memory limit. That lxcfs runs, and its files
 * are there, proves nothing: where it does not understand the node's cgroups it serves the node's values. Only children touch it.
 */
export async function probeInstance(mountPoint: string, cgroups: Cgroups): Promise<ProbeResult> {
  let cgroup: ReturnType<typeof makeLimitedCgroup>;
  try {
    cgroup = makeLimitedCgroup(cgroups, `${process.pid}-${nextProbe++}`, LIMIT);
  } catch (error) {
    return { outcome: 'failed', detail: `a cgroup to test it in could not be made: ${(error as Error).message}` };
  }
  try {
    return readProbe(await runChild('sh', ['-c', SCRIPT, cgroup.procs, mountPoint, READ], { deadline: DEADLINE }));
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
const SCRIPT = 'echo 0 > "$0" && exec unshare --pid --fork --kill-child -- sh -c "$2" "$1"';
const READ = `cd "$0" && cat proc/meminfo && for f in ${FILES.map((file) => file.slice(1)).join(' ')}; do [ -e "$f" ] && echo "serves /$f"; done; true`;

/** What the reader's output means. */
export function readProbe({
  code,
  stdout,
  stderr,
  timedOut,
}: Pick<ChildResult, 'code' | 'stdout' | 'stderr' | 'timedOut'>): ProbeResult {
  if (timedOut) return { outcome: 'hung' };
  const total = Number(/^MemTotal:\s+(\d+) kB$/m.exec(stdout)?.[1]) * 1024;
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
  return { outcome: 'ready', files };
}
