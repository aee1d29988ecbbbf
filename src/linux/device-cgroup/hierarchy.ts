import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { CLONE_NEWCGROUP } from '../constants.ts';
import { isErrno, isUnreadableProcess } from '../errors.ts';
import { abort } from '../exit.ts';
import { check, libc } from '../libc.ts';
import { type Mount, parseMountinfo } from '../mountinfo.ts';
import { runProgram } from './bpf.ts';
import { levelProgram } from './program.ts';

/** A cgroup hierarchy, as far as it is mounted here: in a node that is itself a container, that is a part of it. */
export interface Hierarchy {
  /** Where its root, or the root of the part, can be opened by this process. */
  readonly directory: string;
  /** What that is called in the `/proc/<pid>/cgroup` that {@link cgroupsOf} reads. */
  readonly root: string;
}

export interface Hierarchies {
  /** The v1 hierarchy with the devices controller. */
  readonly v1?: Hierarchy;
  readonly v2?: Hierarchy;
}

/**
 * The node's hierarchies. In a container with mounts of its own they are seen as the first process sees them, which is the node's
 * where the container has the node's process ids.
 */
export function findHierarchies(): Hierarchies {
  for (const [prefix, pid] of [
    ['/proc/1/root', 1],
    ['', 'self'],
  ] as const) {
    try {
      const isOwn = readlinkSync('/proc/self/ns/mnt') === readlinkSync(`/proc/${pid}/ns/mnt`);
      const mounts = parseMountinfo(readAsNode(`/proc/${pid}/mountinfo`));
      const at = (mount: Mount | undefined): Hierarchy | undefined =>
        mount && { directory: `${isOwn ? '' : prefix}${mount.mountPoint}`, root: mount.root };
      const v1 = at(best(mounts, (m) => m.fsType === 'cgroup' && m.superOptions.includes('devices')));
      const v2 = at(best(mounts, (m) => m.fsType === 'cgroup2'));
      return { ...(v1 && { v1 }), ...(v2 && { v2 }) };
    } catch (error) {
      // The first process is none of our business: this is a container with process ids of its own. Anything else must not look as if
      // there were no hierarchies: what was granted through them would be forgotten.
      if (!isUnreadableProcess(error)) throw error;
    }
  }
  return {};
}

/** Of several mounts of it the one that shows most. */
function best(mounts: readonly Mount[], isOne: (mount: Mount) => boolean): Mount | undefined {
  const depth = ({ root }: Mount): number => (root === '/' ? 0 : root.split('/').length);
  return mounts.filter(isOne).sort((a, b) => depth(a) - depth(b))[0];
}

/** The paths of a process's cgroups, undefined where it has gone. @throws where they cannot be read for another reason */
export function cgroupsOf(pid: number | 'self'): { readonly v1?: string; readonly v2?: string } | undefined {
  let text: string;
  try {
    text = readAsNode(`/proc/${pid}/cgroup`);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ESRCH')) throw error;
    return undefined;
  }
  return parseCgroups(text);
}

/** Reads `/proc/<pid>/cgroup` (cgroups(7)). A cgroup that has been removed is none. */
export function parseCgroups(text: string): { readonly v1?: string; readonly v2?: string } {
  const paths: { v1?: string; v2?: string } = {};
  for (const line of text.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined || path.endsWith(' (deleted)')) continue;
    if (controllers === '') paths.v2 = path;
    else if (controllers.split(',').includes('devices')) paths.v1 = path;
  }
  return paths;
}

/** The directories of a cgroup and of those above it in the hierarchy, the outermost first; undefined where it lies outside. */
export function lineage({ directory, root }: Hierarchy, path: string): string[] | undefined {
  const prefix = root === '/' ? '' : root;
  if (path !== root && !path.startsWith(`${prefix}/`)) return undefined;
  const names = path.slice(prefix.length).split('/').filter(Boolean);
  return [directory, ...names.map((_, i) => `${directory}/${names.slice(0, i + 1).join('/')}`)];
}

/** All cgroups of a hierarchy, its root included. Those that go meanwhile are passed over. */
export function* cgroupsBelow(directory: string): Generator<string> {
  yield directory;
  for (const name of childrenOf(directory)) yield* cgroupsBelow(`${directory}/${name}`);
}

/** The names of the cgroups directly below one; none where it has gone. @throws where they cannot be read for another reason */
export function childrenOf(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? entry.name : []));
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENODEV')) throw error;
    return [];
  }
}

/** A v2 cgroup's id, by which programs know it: the inode of its directory (kernfs). Undefined where it has gone. */
export const cgroupId = (directory: string): bigint | undefined =>
  statSync(directory, { bigint: true, throwIfNoEntry: false })?.ino;

/** Of the root of the whole v2 hierarchy. */
const ROOT_ID = 1n;
const NOT_IN_IT = 255;

/**
 * How deep the root of a v2 hierarchy lies. It is the real root nearly everywhere; where the node is a container itself, with a cgroup
 * namespace, no path tells, and a program is asked.
 * @throws ProgramRefused, SystemCallError, and Error where this process is not below it
 */
export function levelOfRoot({ directory }: Hierarchy): number {
  const id = cgroupId(directory);
  if (id === undefined || id === ROOT_ID) return 0;
  const level = runProgram('hotmount_level', levelProgram(id));
  if (level === NOT_IN_IT) throw new Error(`this process is in no cgroup below ${directory}`);
  return level;
}

/**
 * Reads a file in which the kernel writes cgroups as paths from the reader's cgroup namespace: here from the node's. Nothing else
 * happens in there, so the calls of other threads are not concerned.
 */
function readAsNode(path: string): string {
  const node = namespaceId('1');
  if (node === undefined || node === namespaceId('self')) return readFileSync(path, 'latin1');
  const own = openSync('/proc/self/ns/cgroup', 'r');
  const other = openSync('/proc/1/ns/cgroup', 'r');
  try {
    check(libc.setns(other, CLONE_NEWCGROUP), 'setns', '/proc/1/ns/cgroup');
    try {
      return readFileSync(path, 'latin1');
    } finally {
      if (libc.setns(own, CLONE_NEWCGROUP) < 0) abort('this process cannot come back to its own cgroup namespace');
    }
  } finally {
    closeSync(other);
    closeSync(own);
  }
}

/** Undefined where there is no such process, or it may not be asked. */
function namespaceId(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/cgroup`);
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return undefined;
  }
}
