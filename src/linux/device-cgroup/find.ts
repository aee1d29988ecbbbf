import { basename } from 'node:path';
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
 * On v1 it is the process's own. On v2 it is the topmost at or above it that has a device program: a container may have cgroups of its
 * own inside (systemd, another runtime, threads), and all of them are asked. Where there is none, nothing restricts, and it is the
 * process's own.
 */
export function deviceCgroupOf(pid: number, hierarchies: Hierarchies = findHierarchies()): DeviceCgroup | undefined {
  const cgroups = cgroupsOf(pid);
  if (!cgroups) return undefined;
  const { v1, v2 } = hierarchies;
  // A process in the root of the v1 hierarchy is not restricted by it, and may be by v2 all the same.
  if (v1 && cgroups.v1 !== undefined && cgroups.v1 !== '/') {
    const path = lineage(v1, cgroups.v1)?.at(-1);
    return path === undefined || isForMany(path) ? undefined : { version: 1, path };
  }
  if (!v2 || cgroups.v2 === undefined) return undefined;
  const own = ownLineage(v2, cgroups.v2);
  const path = own?.find(mayBeRestricted) ?? own?.at(-1);
  return path === undefined ? undefined : { version: 2, path };
}

/** From the container's cgroup down to the process's own. */
function ownLineage(hierarchy: Hierarchy, path: string): string[] | undefined {
  const all = lineage(hierarchy, path);
  if (!all) return undefined;
  // What the node's first process and this daemon are in is not the container's; nor is what groups others.
  const shared = new Set([hierarchy.directory]);
  for (const pid of ['self', 1] as const) {
    const other = cgroupsOf(pid)?.v2;
    for (const directory of (other !== undefined && lineage(hierarchy, other)) || []) shared.add(directory);
  }
  const own = all.slice(all.findLastIndex((directory) => shared.has(directory)) + 1);
  // Inside of a container such names may come again.
  const first = own.findIndex((directory) => !isForMany(directory));
  return first < 0 ? undefined : own.slice(first);
}

/** Where it cannot be asked, whoever tries to grant will say why. */
function mayBeRestricted(directory: string): boolean {
  try {
    return isRestricted(directory);
  } catch {
    return false;
  }
}

/** Slices group others (systemd.slice(5)), and the kubelet's own cgroups are for pods and all the containers of one. */
const isForMany = (path: string): boolean =>
  /\.slice$|^kubepods$|^(besteffort|burstable|guaranteed)$|^pod[0-9a-f]{8}[-_0-9a-f]{28}$/i.test(basename(path));
