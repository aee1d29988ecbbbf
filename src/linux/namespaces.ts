import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isUnreadableProcess } from './errors.ts';
import { type Mount, parseMountinfo } from './mountinfo.ts';

/** A mount namespace, and a process through which it can be read and entered. */
export interface MountNamespace {
  /** `mnt:[4026531841]` */
  readonly id: string;
  readonly pid: number;
}

export interface NamespaceMounts {
  readonly namespace: MountNamespace;
  readonly mounts: readonly Mount[];
}

/** The ids of all processes. */
export const processIds = (): number[] => readdirSync('/proc').map(Number).filter(Number.isInteger);

/**
 * The id of a process's mount namespace, or another. Undefined where the process has gone, or may not be asked.
 * @throws Node's error where that cannot be told
 */
export function namespaceOf(pid: number | string, type: 'mnt' | 'cgroup' = 'mnt'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${type}`);
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return undefined;
  }
}

/** The ids of this process's own mount namespace and of the machine's first. */
export const nodeNamespaces = (): ReadonlySet<string | undefined> => new Set([namespaceOf('self'), namespaceOf(1)]);

/**
 * All mount namespaces that some process lives in. A chrooted process shows its own view of the paths: one whose root is the
 * namespace's own speaks for it where there is one.
 * @throws Error of the system, where some may not have been found
 */
export function mountNamespaces(): MountNamespace[] {
  const found = new Map<string, MountNamespace & { rooted: boolean }>();
  for (const pid of processIds()) {
    try {
      const id = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (found.get(id)?.rooted) continue;
      const rooted = readlinkSync(`/proc/${pid}/root`) === '/';
      if (rooted || !found.has(id)) found.set(id, { id, pid, rooted });
    } catch (error) {
      // It has ended since, or is a zombie.
      if (!isUnreadableProcess(error)) throw error;
    }
  }
  return [...found.values()].map(({ id, pid }) => ({ id, pid }));
}

export interface FoundMounts {
  /** Only those that have any. */
  readonly namespaces: readonly NamespaceMounts[];
  /** False where some process could not be asked, or not in time: what is not found may be there all the same. */
  readonly complete: boolean;
}

/** Of processes that came while it was looked; each time, those have less time to come and go. */
const MAX_PASSES = 10;

/**
 * The mounts of some file systems in every mount namespace. Where it is complete and finds none, no process of this machine can reach
 * them by a path any more.
 *
 * Each table is read at the moment its namespace is met, and where that fails, by the next process that lives in it: whoever was
 * asked first may have ended, or be a zombie. A process that went before its turn may have left others behind in a namespace that
 * nobody else lives in, so those that have come meanwhile are asked, until none has gone before its turn. Not found are namespaces
 * that only a descriptor or a bind mount keeps (`unshare --mount=FILE`), and those of single threads: the kernel lists neither.
 *
 * @param devices each a `major:minor`, or, for btrfs, whose mounts have numbers that are nobody else's, the `/dev/sdb1` that they name as
 * their source; of other file systems without a device the source is whatever somebody says
 * @throws Error of the system where the processes cannot be listed or told apart
 */
export function findMounts(devices: Iterable<string>): FoundMounts {
  const wanted = new Set(devices);
  const found = new Map<string, NamespaceMounts & { rooted: boolean }>();
  const nameless: NamespaceMounts[] = [];
  const failed = new Set<string | undefined>();
  const visit = (process: number): boolean => {
    const [pid, id] = identify(process);
    const known = id === undefined ? undefined : found.get(id);
    if (known?.rooted) return true;
    const rooted = isRooted(pid);
    if (known && !rooted) return true;
    const mounts = readTable(pid, wanted);
    if (mounts === 'failed') {
      failed.add(id);
      return true;
    }
    if (!mounts) return known !== undefined;
    if (id !== undefined) found.set(id, { namespace: { id, pid }, mounts, rooted });
    else nameless.push({ namespace: { id: `of process ${pid}`, pid }, mounts });
    return true;
  };
  const complete = visitProcesses(visit);
  const namespaces: NamespaceMounts[] = [...found.values()].filter(({ mounts }) => mounts.length > 0);
  // A process that may do more than this one does not say which namespace it is in. A mount's id does: there is one of it.
  const seen = new Set(namespaces.flatMap(({ mounts }) => mounts.map((mount) => mount.id)));
  for (const other of nameless) {
    if (other.mounts.every((mount) => seen.has(mount.id))) continue;
    for (const mount of other.mounts) seen.add(mount.id);
    namespaces.push(other);
  }
  return { namespaces, complete: complete && [...failed].every((id) => id !== undefined && found.has(id)) };
}

/** @returns whether none had gone before its turn in the end */
function visitProcesses(visit: (pid: number) => boolean): boolean {
  const visited = new Set<number>();
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const fresh = processIds().filter((pid) => !visited.has(pid));
    for (const pid of fresh) visited.add(pid);
    if (fresh.map(visit).every(Boolean)) return true;
  }
  return false;
}

/** The process, or where its first thread has ended and others have not, one of those; and its namespace, where it may be known. */
function identify(process: number): [pid: number, namespace: string | undefined] {
  const id = namespaceOf(process);
  if (id !== undefined) return [process, id];
  try {
    for (const task of readdirSync(`/proc/${process}/task`).map(Number)) {
      const other = namespaceOf(task);
      if (other !== undefined) return [task, other];
    }
  } catch (error) {
    // It has ended since.
    if (!isUnreadableProcess(error)) throw error;
  }
  return [process, undefined];
}

function isRooted(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/root`) === '/';
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return false;
  }
}

/** Undefined where the process has ended since; `failed` for errors such as a lack of descriptors. */
function readTable(pid: number, devices: ReadonlySet<string>): Mount[] | 'failed' | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/mountinfo`, 'latin1');
    // Nearly all tables name none of them: looking first spares parsing them.
    if (![...devices].some((device) => text.includes(` ${device} `))) return [];
    return parseMountinfo(text).filter(
      ({ device, fsType, source }) => devices.has(device) || (fsType === 'btrfs' && devices.has(source)),
    );
  } catch (error) {
    return isUnreadableProcess(error) ? undefined : 'failed';
  }
}
