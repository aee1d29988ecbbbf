import { readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type BlockDevice, readBlockDevice } from './block.ts';
import { errorCode } from './errors.ts';
import { ancestors, attribute, entries, usbDeviceOf } from './sysfs.ts';

/** `c188:0`, `b8:16`: as udev names its files. */
export type DeviceKey = `${'b' | 'c'}${number}:${number}`;

/** A device that has a node, as sysfs shows it. Its strings come from the device itself: hostile. */
export interface Device {
  readonly key: DeviceKey;
  readonly type: 'char' | 'block';
  readonly major: number;
  readonly minor: number;
  /** The kernel's name for its node, below /dev: `ttyUSB0`, `bus/usb/001/002`. */
  readonly name: string;
  readonly subsystem: string;
  /** Differs from that of every other device since boot, also where their numbers are the same. */
  readonly identity: string;
  /** As for disks; else `usb`, or what the parent is on (`pci`, `platform`, `virtio` …), or `virtual`. */
  readonly bus: string;
  readonly vendor: string;
  readonly model: string;
  readonly serial: string;
  /** Which of several that the same hardware has: interface, port of the adapter, unit, partition. Empty where there is but one. */
  readonly part: string;
  /** Where it is plugged in; empty for virtual ones. */
  readonly port: string;
  /** Undefined for character devices. */
  readonly block: BlockDevice | undefined;
}

/** The key of the device that an event is about, undefined where it has no node. */
export function eventKey({ subsystem, env }: { subsystem: string; env: Readonly<Record<string, string>> }) {
  const { MAJOR: major, MINOR: minor } = env;
  return major && minor ? asKey(`${subsystem === 'block' ? 'b' : 'c'}${major}:${minor}`) : undefined;
}

/** Undefined for anything else. */
export const asKey = (text: string): DeviceKey | undefined =>
  /^[bc]\d+:\d+$/.test(text) ? (text as DeviceKey) : undefined;

/** The keys of all devices. */
export const deviceKeys = (sysfs = '/sys'): DeviceKey[] =>
  (['char', 'block'] as const).flatMap((type) =>
    entries(join(sysfs, 'dev', type)).map((number) => `${type === 'char' ? 'c' : 'b'}${number}` as DeviceKey),
  );

/**
 * Undefined where there is no such device, or no longer.
 * @param isOfInterest asked before all is read, which takes ten times as long: most devices of a node are of no interest
 */
export function readDevice(
  key: DeviceKey,
  isOfInterest: (device: Pick<Device, 'subsystem' | 'name'>) => boolean = () => true,
  sysfs = '/sys',
): Device | undefined {
  try {
    const link = linkOf(key, sysfs);
    const subsystem = basename(readlinkSync(join(link, 'subsystem')));
    const name = /^DEVNAME=(.+)$/m.exec(readFileSync(join(link, 'uevent'), 'utf8'))?.[1];
    if (name === undefined || !isOfInterest({ subsystem, name })) return undefined;
    const path = realpathSync(link);
    const { ino } = statSync(path, { bigint: true });
    const type = key.startsWith('b') ? 'block' : 'char';
    const block = type === 'block' ? readBlockDevice(basename(path), sysfs) : undefined;
    if (type === 'block' && !block) return undefined;
    const [major, minor] = key.slice(1).split(':').map(Number) as [number, number];
    return {
      key,
      type,
      major,
      minor,
      name,
      subsystem,
      // kernfs numbers its nodes upwards and does not use a number twice. A reader stays the same when its medium changes.
      identity: block ? `${ino}.${block.diskSequence}` : String(ino),
      ...identify(path, block, sysfs),
      part: partOf(path, block, sysfs),
      port: portOf(path, sysfs),
      block,
    };
  } catch (error) {
    if (['ENOENT', 'ENODEV', 'ENOTDIR', 'EINVAL'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
}

const linkOf = (key: DeviceKey, sysfs: string): string =>
  join(sysfs, 'dev', key.startsWith('b') ? 'block' : 'char', key.slice(1));

function identify(
  path: string,
  block: BlockDevice | undefined,
  sysfs: string,
): Pick<Device, 'bus' | 'vendor' | 'model' | 'serial'> {
  if (block) return { bus: block.bus, vendor: block.vendor, model: block.model, serial: block.serial };
  const usb = usbDeviceOf(path, sysfs);
  if (usb) {
    return {
      bus: 'usb',
      vendor: attribute(usb, 'manufacturer') || attribute(usb, 'idVendor'),
      model: attribute(usb, 'product') || attribute(usb, 'idProduct'),
      serial: attribute(usb, 'serial'),
    };
  }
  return {
    bus: busOf(path, sysfs),
    vendor: attribute(path, 'device/vendor') || attribute(path, 'device/manufacturer'),
    model: attribute(path, 'device/model') || attribute(path, 'device/name'),
    serial: attribute(path, 'device/serial') || attribute(path, 'device/uniq'),
  };
}

/** What the nearest ancestor on a bus is on. A subsystem is a bus where /sys/bus has it, and a class elsewhere. */
function busOf(path: string, sysfs: string): string {
  for (const at of ancestors(dirname(path), sysfs)) {
    try {
      const subsystem = realpathSync(join(at, 'subsystem'));
      if (dirname(subsystem) === join(sysfs, 'bus')) return basename(subsystem);
    } catch {
      // A directory of its class between a device and its parent.
    }
  }
  return 'virtual';
}

function partOf(path: string, block: BlockDevice | undefined, sysfs: string): string {
  const all = ancestors(path, sysfs);
  const interfaceNumber = all.map((at) => attribute(at, 'bInterfaceNumber')).find((number) => number !== '');
  const portNumber = attribute(dirname(dirname(path)), 'port_number');
  // host:channel:target:unit, the name of a SCSI device. Card readers have a unit for each slot.
  const unit = all.map((at) => /^\d+:\d+:\d+:(\d+)$/.exec(basename(at))?.[1]).find((number) => number !== undefined);
  const partition = block?.isPartition ? attribute(path, 'partition') : '';
  return [
    interfaceNumber && interfaceNumber !== '00' ? `if${interfaceNumber}` : '',
    portNumber && portNumber !== '0' ? `port${portNumber}` : '',
    unit && unit !== '0' ? `lun${unit}` : '',
    partition ? `part${partition}` : '',
  ]
    .filter(Boolean)
    .join('-');
}

/** By the controller and the sockets on the way: bus numbers are given in the order in which controllers are found. */
function portOf(path: string, sysfs: string): string {
  const usb = usbDeviceOf(path, sysfs);
  if (usb) {
    const hub = ancestors(usb, sysfs).find((at) => /^usb\d+$/.test(basename(at))) ?? usb;
    const version = attribute(hub, 'version').split('.')[0] ?? '';
    return `${basename(dirname(hub))}-usb${version}-${attribute(usb, 'devpath')}`;
  }
  const parent = ancestors(dirname(path), sysfs).find((at) => /:/.test(basename(at)));
  return parent ? basename(parent) : '';
}
