import { readdirSync, readFileSync, realpathSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errorCode, isErrno, isShortage } from '../../linux/errors.ts';
import { exists } from '../../linux/exists.ts';
import { makeDirectories } from '../../linux/make-directories.ts';
import { namespaceOf } from '../../linux/namespaces.ts';

/**
 * The node's cgroup tree, also from inside a container that has a cgroup namespace of its own: the first process is the node's.
 */
export interface Cgroups {
  readonly version: 'v1' | 'v2';
  /** The root of the hierarchy that limits memory. */
  readonly memory: string;
}

/** @throws Error where no hierarchy limits memory */
export function findCgroups(roots: readonly string[] = ['/proc/1/root', '']): Cgroups {
  for (const root of roots) {
    const base = `${root}/sys/fs/cgroup`;
    if (['memory.limit_in_bytes', 'cgroup.procs'].every((name) => read(`${base}/memory/${name}`) !== undefined)) {
      return { version: 'v1', memory: `${base}/memory` };
    }
    if (read(`${base}/cgroup.controllers`)?.includes('memory')) return { version: 'v2', memory: base };
  }
  throw new Error(
    `lxcfs cannot be tested: no cgroup hierarchy here limits memory (looked in ${roots.map((root) => `${root}/sys/fs/cgroup`).join(' and ')}): give the pod \`hostPID: true\` and \`privileged: true\`, or boot the node with the memory controller`,
  );
}

/**
 * A command, in the node's cgroup namespace. From a pod's, no process can be moved into a cgroup outside the pod where cgroup2 has the option
 * `nsdelegate` (cgroup_procs_write_permission in kernel/cgroup/cgroup.c).
 */
export function inNodeCgroups(program: string, ...args: readonly string[]): [string, ...string[]] {
  const node = namespaceOf(1, 'cgroup');
  const isThere = node === undefined || node === namespaceOf('self', 'cgroup');
  return isThere ? [program, ...args] : ['nsenter', '--cgroup=/proc/1/ns/cgroup', program, ...args];
}

const PREFIX = 'hotmount-probe-';
const NESTED = 'reader';

/** On v1 the hierarchies by which lxcfs tells what a reader may use and has used; memory is the first. */
const V1_HIERARCHIES = ['memory', 'cpu', 'cpuset', 'cpuacct', 'blkio'];
/** µs: one processor. */
const PERIOD = 100_000;

/** A cgroup with limits, for a reader to be put into. */
export interface LimitedCgroup {
  /** Its `cgroup.procs`, one a hierarchy. */
  readonly procs: readonly string[];
  /** It may use one processor. Where the node does not limit processors, there is no such limit to be told. */
  readonly limitsCpu: boolean;
  /** False where there is none for it in some hierarchy: by that, a reader is told the node's values. */
  readonly isWhole: boolean;
  close(): void;
}

/**
 * @param options `isNested`: the reader is put into a child of the cgroup that has the limits, as a container of a pod that alone has any
 * @throws Error that says what the kernel refused
 */
export function makeLimitedCgroup(
  cgroups: Cgroups,
  name: string,
  bytes: number,
  { isNested = false } = {},
): LimitedCgroup {
  for (const left of notRemoved) remove(left);
  const made: string[] = [];
  const close = (): void => made.toReversed().forEach(remove);
  const make = (root: string, child = `${PREFIX}${name}`): string => {
    const path = `${root}/${child}`;
    makeDirectories(path);
    made.push(path);
    // A new cpuset is empty, and takes nobody in.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      const all = cgroups.version === 'v1' ? read(`${root}/${file}`) : undefined;
      if (all !== undefined) writeFileSync(`${path}/${file}`, all);
    }
    return path;
  };
  try {
    const memory = make(cgroups.memory);
    if (cgroups.version === 'v2' && read(`${memory}/memory.max`) === undefined)
      writeFileSync(`${cgroups.memory}/cgroup.subtree_control`, '+memory');
    writeFileSync(`${memory}/${cgroups.version === 'v1' ? 'memory.limit_in_bytes' : 'memory.max'}`, String(bytes));
    let isWhole = true;
    let limitsCpu = false;
    try {
      if (cgroups.version === 'v1') for (const root of hierarchiesBeside(cgroups.memory)) make(root);
      limitsCpu = made.some(limitCpu);
    } catch (error) {
      if (isShortage(error)) throw error;
      isWhole = false;
    }
    const limited = isWhole ? [...made] : [memory];
    const joined = isNested ? limited.map((path) => make(path, NESTED)) : limited;
    if (isNested && cgroups.version === 'v2')
      writeFileSync(`${memory}/cgroup.subtree_control`, limitsCpu ? '+memory +cpu' : '+memory');
    return { procs: joined.map((path) => `${path}/cgroup.procs`), limitsCpu, isWhole, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Each once, though one may have several names. */
function hierarchiesBeside(memory: string): string[] {
  const found = V1_HIERARCHIES.map((name) => join(dirname(memory), name)).filter((root) => exists(`${root}/tasks`));
  return [...new Map(found.map((root) => [realpathSync(root), root])).values()].filter((root) => root !== memory);
}

function limitCpu(path: string): boolean {
  for (const [file, value] of [
    ['cpu.max', `${PERIOD} ${PERIOD}`],
    ['cpu.cfs_quota_us', String(PERIOD)],
  ] as const) {
    if (read(`${path}/${file}`) === undefined) continue;
    writeFileSync(`${path}/${file}`, value);
    return true;
  }
  return false;
}

/** What probes that were killed have left. */
export function removeLeftCgroups({ version, memory }: Cgroups): void {
  for (const root of [memory, ...(version === 'v1' ? hierarchiesBeside(memory) : [])]) {
    for (const name of readdirSync(root)) {
      const owner = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
      if (!owner || exists(`/proc/${owner}`)) continue;
      const nested = readdirSync(`${root}/${name}`, { withFileTypes: true }).filter((entry) => entry.isDirectory());
      for (const path of [...nested.map((entry) => `${name}/${entry.name}`), name]) remove(`${root}/${path}`);
    }
  }
}

/** A reader that hung was still in them. */
const notRemoved = new Set<string>();

function remove(path: string): void {
  try {
    rmdirSync(path);
    notRemoved.delete(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') notRemoved.delete(path);
    else notRemoved.add(path);
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    // There is no such hierarchy, or not seen from here (EACCES: the first process is not ours to look through).
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'ESRCH', 'ENODEV')) throw error;
    return undefined;
  }
}
