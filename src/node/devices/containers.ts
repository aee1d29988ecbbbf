import { readFileSync, readlinkSync } from 'node:fs';
import { livePath } from '../../contract/paths.ts';
import {
  type DeviceCgroup,
  deviceCgroupOf,
  findHierarchies,
  type Hierarchies,
} from '../../linux/device-cgroup/index.ts';
import { isUnreadableProcess } from '../../linux/errors.ts';
import { parseMountinfo } from '../../linux/mountinfo.ts';
import { namespaceOf, nodeNamespaces, processIds } from '../../linux/namespaces.ts';
import { readStartTime } from '../../linux/pidfd.ts';
import { DEVICES } from './actual.ts';

/** A mount namespace in which device classes are mounted, and the cgroups of the processes in it. */
export interface MountingContainer {
  readonly namespace: string;
  readonly classes: ReadonlySet<string>;
  /** By path. */
  readonly cgroups: ReadonlyMap<string, DeviceCgroup>;
  /** A process of each cgroup, and what proves later that it is still the same one. */
  readonly witnesses: ReadonlyMap<string, Witness>;
  /** A runtime is still setting up some container in it: its cgroup may still change. */
  readonly isStarting: boolean;
}

interface Witness {
  readonly pid: number;
  readonly startTime: string;
}

/** Finds the containers that mount device classes of one run dir, from what the kernel shows. */
export class Containers {
  /** `major:minor` of the run dir's file system. */
  readonly #device: string;
  #known = new Map<string, MountingContainer>();

  constructor(device: string) {
    this.#device = device;
  }

  get known(): Iterable<MountingContainer> {
    return this.#known.values();
  }

  /** Reads all processes of the node. Takes some 20 ms for a thousand. */
  refreshAll(): void {
    // Neither what runs in the node's own namespace nor this daemon is a container.
    const node = nodeNamespaces();
    const processes = new Map<string, number[]>();
    for (const pid of processIds()) {
      const id = namespaceOf(pid);
      if (id === undefined || node.has(id)) continue;
      const others = processes.get(id);
      if (others) others.push(pid);
      else processes.set(id, [pid]);
    }
    const hierarchies = findHierarchies();
    const found = new Map<string, MountingContainer>();
    for (const [namespace, pids] of processes) {
      const mounter = this.#read(namespace, pids, hierarchies);
      if (mounter) found.set(namespace, mounter);
    }
    this.#known = found;
  }

  /** Reads one process, which has just changed its mounts. What is known of others that share its namespace stays. */
  refresh(pid: number): boolean {
    const namespace = namespaceOf(pid);
    if (namespace === undefined || nodeNamespaces().has(namespace)) return false;
    const mounter = this.#read(namespace, [pid], findHierarchies());
    const known = this.#known.get(namespace);
    if (mounter) this.#known.set(namespace, known ? unite(known, mounter) : mounter);
    return mounter !== undefined;
  }

  /** Whether the process by which each cgroup is known still lives. */
  areAlive(): boolean {
    return [...this.#known.values()].every(({ namespace, cgroups, witnesses }) =>
      [...cgroups.keys()].every((path) => isAlive(namespace, witnesses.get(path))),
    );
  }

  #read(namespace: string, pids: readonly number[], hierarchies: Hierarchies): MountingContainer | undefined {
    const classes = this.#classesIn(namespace, pids);
    if (classes.size === 0) return undefined;
    const cgroups = new Map<string, DeviceCgroup>();
    const witnesses = new Map<string, Witness>();
    let isStarting = false;
    for (const pid of pids) {
      const startTime = readStartTime(pid);
      const cgroup = startTime === undefined ? undefined : deviceCgroupOf(pid, hierarchies);
      // The process was the same one, in the namespace, before and after its cgroup was read: the cgroup is its own.
      if (!cgroup || startTime === undefined || !isAlive(namespace, { pid, startTime })) continue;
      const isOfRuntime = isRunc(pid);
      isStarting ||= isOfRuntime;
      if (cgroups.has(cgroup.path) || (isOfRuntime && cgroup.version === 1)) continue;
      cgroups.set(cgroup.path, cgroup);
      witnesses.set(cgroup.path, { pid, startTime });
    }
    return { namespace, classes, cgroups, witnesses, isStarting };
  }

  /** Reads by a process that sees the whole namespace, where there is one: one with another root sees less. */
  #classesIn(namespace: string, pids: readonly number[]): Set<string> {
    let classes = new Set<string>();
    for (const pid of pids) {
      const seen = this.#classesSeenBy(namespace, pid);
      if (!seen) continue;
      classes = classes.union(seen.classes);
      if (seen.isWhole) break;
    }
    return classes;
  }

  #classesSeenBy(namespace: string, pid: number): { classes: Set<string>; isWhole: boolean } | undefined {
    try {
      const isWhole = readlinkSync(`/proc/${pid}/root`) === '/';
      const text = readFileSync(`/proc/${pid}/mountinfo`, 'latin1');
      if (namespaceOf(pid) !== namespace) return undefined;
      return { classes: classesInTable(text, this.#device), isWhole };
    } catch (error) {
      // To take what could not be read for a table without classes would be to take devices away.
      if (!isUnreadableProcess(error)) throw error;
      return undefined;
    }
  }
}

/**
 * The classes of which the directory itself is mounted somewhere, from the text of a mount table. What live pods have is mounted in the run dir,
 * too: whoever sees all of that, as hotmount's own pods and services of the node with a mount namespace of their own, has none of it. Pure.
 * @param device of the run dir, `major:minor`
 */
export function classesInTable(text: string, device: string): Set<string> {
  const marker = ` ${device} /${DEVICES}/`;
  // Hardly any table has it: searching first avoids parsing.
  if (!text.includes(marker)) return new Set();
  const lines = text.split('\n').filter((line) => line.includes(` ${device} /`));
  const mounts = parseMountinfo(lines.join('\n'));
  const ofOthers = mounts.flatMap(({ root, mountPoint }) => {
    if (root === '/') return `${mountPoint}${LIVE}/`;
    return root === LIVE ? `${mountPoint}/` : [];
  });
  const own = mounts.filter(({ mountPoint }) => !ofOthers.some((place) => mountPoint.startsWith(place)));
  const roots = own.map(({ root }) => root.split('/'));
  return new Set(
    roots.flatMap(([, tree, name, ...rest]) => (tree === DEVICES && name && rest.length === 0 ? name : [])),
  );
}

/** Where the directories of live pods are in the run dir. */
const LIVE = livePath(undefined, '');

function unite(a: MountingContainer, b: MountingContainer): MountingContainer {
  return {
    namespace: a.namespace,
    classes: b.classes,
    cgroups: new Map([...a.cgroups, ...b.cgroups]),
    witnesses: new Map([...a.witnesses, ...b.witnesses]),
    isStarting: a.isStarting || b.isStarting,
  };
}

const isAlive = (namespace: string, witness: Witness | undefined): boolean =>
  witness !== undefined && namespaceOf(witness.pid) === namespace && readStartTime(witness.pid) === witness.startTime;

/**
 * Whether runc is still at work in the process, `runc:[2:INIT]` (libcontainer/nsenter). One of its last steps is to write the container's
 * device list, and on cgroup v1 it gives up where that then reads otherwise than what it wrote (libcontainer/cgroups/fs/devices.go): so
 * there, nothing is granted before the container's own program runs.
 */
function isRunc(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1').startsWith('runc:[');
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return false;
  }
}
