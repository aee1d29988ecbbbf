import { once } from 'node:events';
import { closeSync, openSync, statSync } from 'node:fs';
import { followChild, launchChild } from '../../linux/child.ts';
import { isUnreadableProcess } from '../../linux/errors.ts';
import { patient } from '../../linux/slowness.ts';
import type { Logger } from '../../observability/logger.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { readCgroupOptions, rootCgroupMounts } from './cgroup-options.ts';
import { inNodeCgroups } from './cgroups.ts';
import type { Program } from './program.ts';

/** ms. It takes some 30. */
const DEADLINE = patient(10_000);

/** Namespaces to start programs in, held open. */
export interface Namespaces {
  /** For nsenter(1), as a child of this process. */
  readonly arguments: readonly string[];
  close(): void;
}

/**
 * Makes the namespaces in which lxcfs cannot change the node; any number of instances can share them.
 *
 * - A cgroup namespace of the root cgroup, where cgroup2 has mount options or this process is in a pod's cgroup namespace. lxcfs before
 *   6.0.6 mounts cgroup2 without options, and in the first cgroup namespace that clears them for the whole node (apply_cgroup_root_flags in
 *   kernel/cgroup/cgroup.c).
 * - A mount namespace with a tmpfs for its root. lxcfs makes directories below `/run/lxcfs`, and binds `/` without what is mounted below
 *   it: neither works on a read-only root. In it are the programs, the kernel's file systems and the run dir. What is mounted in the run dir
 *   propagates to the node; nothing else does. What is mounted below the directories that are kept is held: in the chart's pod, nothing of
 *   the node. Where this process sees a pod's cgroups only, the namespace shows all: lxcfs learns from /sys/fs/cgroup which controllers
 *   there are.
 *
 * Where one cannot be made, lxcfs is started without it, and the log says why.
 * @throws Error where the program needs the one that cannot be made
 */
export async function makeNamespaces(runDir: RunDir, program: Program, log: Logger): Promise<Namespaces> {
  const made: { readonly option: string; readonly fd: number }[] = [];
  const make = async (option: string, file: string, command: readonly string[], loss: string): Promise<void> => {
    try {
      made.push({ option, fd: await openNamespace(file, command) });
    } catch (error) {
      if (option === 'mount' && program.root !== '/')
        throw new Error(`its mount namespace cannot be made: ${(error as Error).message}`, { cause: error });
      log.warn({ err: error }, `lxcfs runs without a ${option} namespace of its own: ${loss}`);
    }
  };
  const enter = (): string[] => made.map(({ option, fd }) => `--${option}=/proc/${process.pid}/fd/${fd}`);
  const seesAll = seesAllCgroups();
  if (readCgroupOptions().length > 0 || !seesAll)
    await make(
      'cgroup',
      'cgroup',
      cgroupNamespace(),
      'some versions clear mount options of the node’s cgroup2, and in a pod none may see its cgroups',
    );
  const setUp = `${made.length > 0 && !seesAll ? SHOW_ALL_CGROUPS : ''}${program.root === '/' ? '' : USE_TREE}`;
  const mountNamespace = ['nsenter', ...enter(), '--', ...unshareMounts(runDir.path, program, setUp)];
  await make('mount', 'mnt', mountNamespace, 'it needs a writable /run/lxcfs');
  return {
    arguments: enter(),
    close() {
      for (const { fd } of made) closeSync(fd);
    },
  };
}

/** @param command ends with a shell that has got into the namespace, prints a line and waits */
async function openNamespace(file: string, [program = '', ...args]: readonly string[]): Promise<number> {
  const child = launchChild(program, args, { stdin: 'pipe' });
  const result = followChild(child, program, { deadline: DEADLINE });
  try {
    const isReady = await Promise.race([once(child.stdout, 'data').then(() => true), result.then(() => false)]);
    if (!isReady) throw new Error((await result).stderr.trim() || `${program} did not end within ${DEADLINE / 1000} s`);
    return openSync(`/proc/${child.pid}/ns/${file}`, 'r');
  } finally {
    closeSync(child.stdin as number);
    await result;
  }
}

/** Where cgroup2 is mounted on a pure cgroup v2. */
const CGROUPS = '/sys/fs/cgroup';

const READY = 'echo ready; read -r _';

/** What programs need to run, and what lxcfs reads. */
const KEPT = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/usr', '/dev', '/proc', '/sys'];

/** @param setUp shell, in the new root */
function unshareMounts(runDir: string, { root, path }: Program, setUp: string): string[] {
  const top = `/${path.split('/')[1]}`;
  // Where there is an /etc/mtab, libfuse runs /bin/mount to have it written, and a tree has none.
  const kept = new Set(root === '/' ? [...KEPT, '/etc', ...(top === '/run' ? [] : [top])] : KEPT);
  const script = `${MAKE_ROOT}${setUp}${READY}`;
  return ['unshare', '--mount', '--propagation', 'unchanged', 'sh', '-ec', script, runDir, root, ...kept];
}

// Every system has a /run, so the new root is built there. What is mounted or unmounted below a shared mount would propagate to the node:
// hence the private parent, the slaves, and the old root's being private before it goes. The run dir's own mount stays the node's peer; a
// descriptor leads to it when /run is covered.
const MAKE_ROOT = `
mount --make-private "$(findmnt --noheadings --raw --output TARGET --target /run)"
exec 3< "$0" 4< "$1"
mount -t tmpfs -o mode=755,nosuid,nodev hotmount /run
cd /run
root=$1
shift
for path; do
  if [ -L "$path" ]; then ln -s "$(readlink "$path")" ".$path"
  elif [ -d "$path" ]; then mkdir ".$path"; mount --rbind --make-rslave "$path" ".$path"
  fi
done
mkdir -p run old tree ".$0"
[ "$root" = / ] || mount --no-canonicalize --bind --make-slave /proc/self/fd/4 tree
mount --no-canonicalize --bind /proc/self/fd/3 ".$0"
exec 3<&- 4<&-
pivot_root . old
mount --make-rprivate /old
umount -l /old
rmdir /old
`;
/** The last that mount(8) can do: from now on /usr has what the tree has. */
const USE_TREE = 'mount --bind /tree/usr /usr\n';

/** In the cgroup namespace made before: it is not the first, so no option is changed. The kernel refuses to mount cgroup2 on itself. */
const SHOW_ALL_CGROUPS = `umount -l ${CGROUPS}\nmount -t cgroup2 cgroup2 ${CGROUPS}\n`;

/** False in a pod whose runtime gives it a cgroup namespace. On v1, lxcfs mounts what it needs. */
function seesAllCgroups(): boolean {
  try {
    const isV2 = rootCgroupMounts().some(({ fsType, mountPoint }) => fsType === 'cgroup2' && mountPoint === CGROUPS);
    return !isV2 || statSync(CGROUPS).ino === statSync(`/proc/1/root${CGROUPS}`).ino;
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return true;
  }
}

function cgroupNamespace(): string[] {
  const procs = rootCgroupMounts().map(({ mountPoint }) => `/proc/1/root${mountPoint}/cgroup.procs`);
  const script = `for procs; do echo 0 > "$procs"; done; exec unshare --cgroup sh -c '${READY}'`;
  return inNodeCgroups('sh', '-ec', script, 'sh', ...procs);
}
