import { basename } from 'node:path';
import { isErrno } from '../errors.ts';
import { cgroupsOf, findHierarchies, type Hierarchies, type Hierarchy, lineage } from './hierarchy.ts';
import { isRestricted } from './programs.ts';

/** The cgroup that governs a container's device access. `path`: absolute directory, as this process can open it. */
export interface DeviceCgroup {
  readonly version: 1 | 2;
  readonly path: string;
}

/**
 * The cgroup to grant a process's container access through; undefined where the process has gone, or no hierarchy has control over
 * devices, or the cgroup is not the container's alone.
 *
 * @param hierarchies to be given where it is asked of many
 *
 * On v1 it is the process's own. On v2 it is the topmost at or above it that has a device program: a container may have cgroups of its
 * own inside (systemd, another runtime, threads), and all of them are asked. Where there is none, nothing restricts, and it is the
 * process's own.
 */
export function deviceCgroupOf(pid: number, hierarchies: Hierarchies = findHierarchies()): DeviceCgroup | undefined {
  const cgroups = cgroupsOf(pid);
  if (!cgroups) return undefined;
  const { v1, v2 } = hierarchies;
  // A process in the root of the v1 hierarchy is not restricted by it, and may be by v2 all the same.
  if (v1 && cgroups.v1 !== undefined && cgroups.v1 !== v1.root) {
    const path = lineage(v1, cgroups.v1)?.at(-1);
    return path === undefined || isPod(path) ? undefined : { version: 1, path };
  }
  if (!v2 || cgroups.v2 === undefined) return undefined;
  const own = ownLineage(v2, cgroups.v2);
  const path = own.find(mayBeRestricted) ?? own.at(-1);
  return path === undefined ? undefined : { version: 2, path };
}

/** From the container's cgroup down to the process's own; empty where that is none. */
function ownLineage(hierarchy: Hierarchy, path: string): string[] {
  const all = lineage(hierarchy, path) ?? [];
  // What the node's first process and this daemon are in is not the container's.
  const shared = new Set([hierarchy.directory]);
  for (const pid of ['self', 1] as const) {
    const other = cgroupsOf(pid)?.v2;
    for (const directory of (other !== undefined && lineage(hierarchy, other)) || []) shared.add(directory);
  }
  const own = all.slice(all.findLastIndex((directory) => shared.has(directory)) + 1);
  // A pod's cgroup is of all its containers, a slice of all sorts. Inside of a container there may be others.
  const pod = own.findIndex(isPod);
  if (pod >= 0) return own.slice(pod + 1);
  const first = own.findIndex((directory) => !directory.endsWith('.slice'));
  return first < 0 ? [] : own.slice(first);
}

/** Whether it is the kubelet's for a pod: `pod<uid>`, or `kubepods-…-pod<uid, with _>.slice`. A static pod's UID has no dashes. */
const isPod = (path: string): boolean => /(^|-)pod[0-9a-f]{8}[-_0-9a-f]{24,28}(\.slice)?$/i.test(basename(path));

/** Where this process may not ask, or the kernel has no device programs, whoever tries to grant will say why. */
function mayBeRestricted(directory: string): boolean {
  try {
    return isRestricted(directory);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENODEV', 'EPERM', 'EACCES', 'EINVAL', 'ENOSYS')) throw error;
    return false;
  }
}
