import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { findHierarchies } from '../../../src/linux/device-cgroup/hierarchy.ts';
import { programsOn, withDirectory } from '../../../src/linux/device-cgroup/programs.ts';
import type { DeviceStatus } from '../../../src/node/devices/status.ts';
import { Container, type ContainerOptions } from './container.ts';
import type { Daemon } from './daemon.ts';
import { type Rig, until } from './rig.ts';

/**
 * MiB. By its size a class knows a disk: in whole pages, something that disks of other tests on this machine do not have.
 * @param whole the MiB before the point
 */
export const ownSize = (whole: number): number => whole + (process.pid % 255) / 256;

/** What a class says to match disks of one size, in MiB. */
export const sized = (size: number): string => `minSize: ${size * 2 ** 20}, maxSize: ${size * 2 ** 20}`;

/** A policy with device classes (YAML of the list, in flow style or indented by two), and a media class that looks into no disk. */
export const devicePolicy = (rig: Rig, classes: string): string =>
  `${rig.policy('- {name: none, match: [{devname: [none]}]}')}deviceClasses:${classes ? `\n${classes.replace(/^/gm, '  ')}` : ' []'}\n`;

/** A container that mounts device classes as the webhook has the kubelet do it, below `/devices`. */
export const devicePod = (
  rig: Rig,
  daemon: Pick<Daemon, 'runDir'>,
  classes: readonly string[],
  options: ContainerOptions = {},
) =>
  new Container(rig, {
    mounts: classes.map((name) => ({
      source: `${daemon.runDir}/devices/${name}`,
      target: `/devices/${name}`,
      propagation: 'private',
      readOnly: true,
    })),
    ...options,
  });

/** What the kernel has about the devices of a container: on v1 its list, on v2 which programs are asked. */
export function deviceState({ cgroup }: Container): unknown {
  const { v2 } = findHierarchies();
  if (v2 && cgroup.startsWith(`${v2.directory}/`)) {
    return [cgroup, dirname(cgroup)].map((directory) => withDirectory(directory, programsOn).map(({ id }) => id));
  }
  return readFileSync(`${cgroup}/devices.list`, 'utf8').trim().split('\n').sort();
}

/** What a shell says when it opens a file to read and to write. */
const TRY = (path: string): string =>
  `[ -e ${path} ] || echo -n gone; ( : < ${path} ) 2>/dev/null && echo -n r; ( : >> ${path} ) 2>/dev/null && echo -n w; true`;

/** `rw`, `r`, `w`, nothing, or `gone`: what a process in the container can open a node for. */
export const opens = (container: Container, path: string): string => container.sh(TRY(`/devices/${path}`));

/** Waits until a process in the container can open a node for exactly this. */
export const untilOpens = (container: Container, path: string, access: string): Promise<true> =>
  until(`${container.id} opens ${path} for ${access || 'nothing'}`, () => {
    const found = opens(container, path);
    if (found !== access) throw new Error(`it opens it for ${found || 'nothing'}`);
    return true as const;
  });

/** The status of a node, waited for. */
export const deviceStatus = (daemon: Daemon, path: string): Promise<DeviceStatus> =>
  until(`${path} is in the status`, async () => {
    const { devices = [], devicesLeft = [] } = (await daemon.status()) ?? {};
    const found = devices.find((device) => device.path === `${daemon.runDir}/devices/${path}`);
    if (!found) throw new Error(JSON.stringify({ devices, devicesLeft }));
    return found;
  });
