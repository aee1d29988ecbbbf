import { dirname, relative } from 'node:path/posix';
import type { Device } from '../../linux/device.ts';
import type { DeviceClass } from '../../policy/index.ts';
import { BY_ID, byIdNames, nodeName } from './names.ts';

/** A device that classes take. */
export interface Taken {
  readonly device: Device;
  readonly classes: readonly DeviceClass[];
}

/** A node that should be there, and what containers that mount its class may do with it. */
export interface DesiredNode {
  /** Below the directory of all classes: `serial/ttyUSB0`. */
  readonly path: string;
  readonly device: Device;
  readonly deviceClass: DeviceClass;
}

export interface Desired {
  readonly nodes: ReadonlyMap<string, DesiredNode>;
  /** What each symbolic link says, by its path: `serial/by-id/usb-FTDI_…` → `../ttyUSB0`. */
  readonly links: ReadonlyMap<string, string>;
  /** The link to each node that has one, by the node's path. */
  readonly byId: ReadonlyMap<string, string>;
}

export const NOTHING_DESIRED: Desired = { nodes: new Map(), links: new Map(), byId: new Map() };

/** What should be below `devices`. Pure. */
export function desire(taken: Iterable<Taken>): Desired {
  const nodes = new Map<string, DesiredNode>();
  const byClass = new Map<string, Device[]>();
  for (const { device, classes } of taken) {
    for (const deviceClass of classes) {
      const path = `${deviceClass.name}/${nodeName(device)}`;
      nodes.set(path, { path, device, deviceClass });
      const members = byClass.get(deviceClass.name);
      if (members) members.push(device);
      else byClass.set(deviceClass.name, [device]);
    }
  }
  const links = new Map<string, string>();
  const byId = new Map<string, string>();
  for (const [className, devices] of byClass) {
    for (const [name, device] of byIdNames(devices)) {
      const path = `${className}/${BY_ID}/${name}`;
      const node = `${className}/${nodeName(device)}`;
      links.set(path, relative(dirname(path), node));
      byId.set(node, path);
    }
  }
  return { nodes, links, byId };
}
