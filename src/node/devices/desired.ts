import { dirname, relative } from 'node:path/posix';
import type { Device } from '../../linux/device.ts';
import { type DeviceClass, deviceDirectory } from '../../policy/index.ts';
import { BY_ID, byIdNames, linkName, nodeName, numberName } from './names.ts';

/** A device that classes take. */
export interface MatchedDevice {
  readonly device: Device;
  readonly classes: readonly DeviceClass[];
  /** Those of udevd, below /dev. */
  readonly links: readonly string[];
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
export function desire(taken: Iterable<MatchedDevice>): Desired {
  const nodes = new Map<string, DesiredNode>();
  const links = new Map<string, string>();
  const byId = new Map<string, string>();
  for (const [className, members] of membersOf(taken)) {
    const paths = new Map(members.map((member) => [member.device, `${className}/${member.name}`]));
    for (const { device, deviceClass } of members) {
      const path = paths.get(device) as string;
      nodes.set(path, { path, device, deviceClass });
    }
    for (const [name, device] of byIdNames(members.map(({ device }) => device))) {
      const path = `${className}/${BY_ID}/${name}`;
      const node = paths.get(device) as string;
      links.set(path, relative(dirname(path), node));
      byId.set(node, path);
    }
    // Ours come first: udev's have the same names, and may be made for devices that call themselves like others.
    for (const { name, device } of udevLinks(members)) {
      const path = `${className}/${name}`;
      if (!links.has(path)) links.set(path, relative(dirname(path), paths.get(device) as string));
    }
  }
  return { nodes, links, byId };
}

interface Member {
  readonly device: Device;
  readonly deviceClass: DeviceClass;
  /** Of its node, below the class. */
  readonly name: string;
  readonly links: readonly string[];
}

/** The devices of each class, each with a name that no other has. */
function membersOf(taken: Iterable<MatchedDevice>): Map<string, Member[]> {
  const classes = new Map<string, Member[]>();
  for (const { device, classes: taking, links } of taken) {
    for (const deviceClass of taking) {
      const members = classes.get(deviceClass.name) ?? [];
      classes.set(deviceClass.name, members);
      const name = nodeName(device, deviceDirectory(deviceClass));
      const isFree = members.every((member) => member.name !== name);
      members.push({ device, deviceClass, links, name: isFree ? name : numberName(device) });
    }
  }
  return classes;
}

/** udev's links of a class, at the same paths as below /dev, where they hide no node or link of ours. */
function udevLinks(members: readonly Member[]): { name: string; device: Device }[] {
  const nodes = new Set(members.map(({ name }) => name));
  return members.flatMap(({ device, deviceClass, links }) =>
    links
      .map((link) => linkName(link, deviceDirectory(deviceClass)))
      .filter((name) => name !== undefined)
      .filter((name) => !nodes.has(name) && !isBelowOrAbove(name, nodes))
      .map((name) => ({ name, device })),
  );
}

/** A directory in one name is a node in another. */
const isBelowOrAbove = (name: string, nodes: ReadonlySet<string>): boolean =>
  [...nodes].some((node) => node.startsWith(`${name}/`) || name.startsWith(`${node}/`));
