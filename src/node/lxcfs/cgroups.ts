import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { errorCode, isErrno } from '../../linux/errors.ts';

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

const PREFIX = 'hotmount-probe-';

/** A cgroup with a memory limit, for a reader to be put into. */
export interface LimitedCgroup {
  /** Its `cgroup.procs`. */
  readonly procs: string;
  close(): void;
}

/** @throws Error that says what the kernel refused */
export function makeLimitedCgroup({ version, memory }: Cgroups, name: string, bytes: number): LimitedCgroup {
  for (const left of notRemoved) remove(left);
  const path = `${memory}/${PREFIX}${name}`;
  mkdirSync(path, { recursive: true });
  try {
    if (version === 'v2' && read(`${path}/memory.max`) === undefined)
      writeFileSync(`${memory}/cgroup.subtree_control`, '+memory');
    writeFileSync(`${path}/${version === 'v1' ? 'memory.limit_in_bytes' : 'memory.max'}`, String(bytes));
  } catch (error) {
    rmdirSync(path);
    throw error;
  }
  return { procs: `${path}/cgroup.procs`, close: () => remove(path) };
}

/** What probes that were killed have left. */
export function removeLeftCgroups({ memory }: Cgroups): void {
  for (const name of readdirSync(memory)) {
    const owner = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (owner && !existsSync(`/proc/${owner}`)) remove(`${memory}/${name}`);
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
