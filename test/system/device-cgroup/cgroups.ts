import { closeSync, existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { assemble, exit, set } from '../../../src/linux/device-cgroup/assembler.ts';
import { attachProgram, detachProgram, loadDeviceProgram, programInfo } from '../../../src/linux/device-cgroup/bpf.ts';
import { cgroupsBelow } from '../../../src/linux/device-cgroup/hierarchy.ts';
import { type DeviceCgroup, findHierarchies } from '../../../src/linux/device-cgroup/index.ts';
import { withDirectory, withProgram } from '../../../src/linux/device-cgroup/programs.ts';
import type { Rig } from '../support/rig.ts';

export type Version = DeviceCgroup['version'];

/** Which versions can be tested on this machine. */
export function versions(): Version[] {
  const { v1, v2 } = findHierarchies();
  return [...(v1 ? [1 as const] : []), ...(v2 ? [2 as const] : [])];
}

export function rootOf(version: Version): string {
  const { v1, v2 } = findHierarchies();
  const hierarchy = version === 1 ? v1 : v2;
  if (!hierarchy) throw new Error(`there is no cgroup v${version} here`);
  return hierarchy.directory;
}

const PREFIX = 'hotmount-grants-';
let count = 0;

/** A name for a cgroup of the test's own, below the root of any hierarchy: with all below, it goes when the rig does. */
export function reserveCgroup(rig: Rig): string {
  sweep();
  const name = `${PREFIX}${process.pid}-${count++}`;
  rig.onClose('process', () => removeCgroups(name));
  return name;
}

/** Makes a cgroup of the test's own. */
export function makeCgroup(rig: Rig, version: Version): string {
  const path = `${rootOf(version)}/${reserveCgroup(rig)}`;
  mkdirSync(path);
  return path;
}

/** A cgroup below another that may open nothing, as runtimes make them. */
export function makeRestricted(version: Version, path: string): DeviceCgroup {
  mkdirSync(path, { recursive: true });
  restrict(version, path);
  return { version, path };
}

/** @returns on v2, how to end it */
export function restrict(version: Version, path: string): { detach(): void } | undefined {
  if (version === 1) {
    writeFileSync(`${path}/devices.deny`, 'a');
    return undefined;
  }
  const program = loadDeviceProgram('deny_all', assemble([set(0, 0), exit()]));
  const { id } = programInfo(program);
  withDirectory(path, (fd) => attachProgram(fd, program));
  closeSync(program);
  return { detach: () => withDirectory(path, (fd) => withProgram(id, (attached) => detachProgram(fd, attached))) };
}

/** What earlier runs that were killed have left. */
function sweep(): void {
  const { v1, v2 } = findHierarchies();
  for (const hierarchy of [v1, v2]) {
    for (const name of hierarchy ? readdirSync(hierarchy.directory) : []) {
      const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
      if (pid && !existsSync(`/proc/${pid}`)) removeCgroups(name);
    }
  }
}

/** In every hierarchy, v1's others too: the runtime made it in them all. */
function removeCgroups(name: string): void {
  const root = findHierarchies().v1?.directory.replace(/\/[^/]*$/, '') ?? '';
  const all = root ? readdirSync(root).map((controller) => `${root}/${controller}/${name}`) : [];
  for (const directory of [...all, `${findHierarchies().v2?.directory}/${name}`]) {
    try {
      for (const cgroup of [...cgroupsBelow(directory)].reverse()) rmdirSync(cgroup);
    } catch {
      // It is not there, or somebody is still in it: the next run's turn.
    }
  }
}
