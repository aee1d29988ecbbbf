import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type Mount, parseMountinfo } from './mountinfo.ts';

/** A mount namespace, and a process through which it can be looked at and entered. */
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

/** The id of a process's mount namespace, undefined where the process has gone. */
export function namespaceOf(pid: number | string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    return undefined;
  }
}

/**
 * All mount namespaces that some process lives in. A chrooted process shows its own view of the paths: one whose root is the
 * namespace's own speaks for it where there is one.
 */
export function mountNamespaces(): MountNamespace[] {
  const found = new Map<string, MountNamespace & { rooted: boolean }>();
  for (const pid of processIds()) {
    try {
      const id = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (found.get(id)?.rooted) continue;
      const rooted = readlinkSync(`/proc/${pid}/root`) === '/';
      if (rooted || !found.has(id)) found.set(id, { id, pid, rooted });
    } catch {
      // It has ended since, or is a zombie.
    }
  }
  return [...found.values()].map(({ id, pid }) => ({ id, pid }));
}

/**
 * The mounts of one file system (`major:minor`) in every mount namespace, with only those namespaces that have any. When it is
 * empty, nothing on this machine can reach the file system by a path any more.
 */
export function mountsOfDevice(device: string): NamespaceMounts[] {
  const result: NamespaceMounts[] = [];
  for (const namespace of mountNamespaces()) {
    const mounts = readTable(namespace.pid, device).filter((mount) => mount.device === device);
    if (mounts.length > 0) result.push({ namespace, mounts });
  }
  return result;
}

function readTable(pid: number, device: string): Mount[] {
  try {
    const text = readFileSync(`/proc/${pid}/mountinfo`, 'latin1');
    // Nearly all tables do not name it: looking first spares parsing them.
    return text.includes(` ${device} `) ? parseMountinfo(text) : [];
  } catch {
    return [];
  }
}
