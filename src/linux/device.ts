import { readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type BlockDevice, readBlockDevice } from './block.ts';
import { devicePart } from './device-part.ts';
import { devicePath } from './device-path.ts';
import { errorCode, isErrno } from './errors.ts';
import type { Hardware } from './hardware.ts';
import { ancestors, attribute, entries, usbDeviceOf } from './sysfs.ts';
import { usbFacts } from './usb.ts';

/** `c188:0`, `b8:16`: as udev names its files. */
export type DeviceKey = `${'b' | 'c'}${number}:${number}`;

/** A device that has a node, as sysfs shows it. Its strings come from the device itself: hostile. */
export interface Device extends Hardware {
  readonly key: DeviceKey;
  readonly type: 'char' | 'block';
  readonly major: number;
  readonly minor: number;
  /** The kernel's name for its node, below /dev: `ttyUSB0`, `bus/usb/001/002`. */
  readonly name: string;
  readonly subsystem: string;
  /** Differs from that of every other device since boot, also where their numbers are the same. */
  readonly identity: string;
  /** Which of several that the same hardware has (device-part.ts); empty where there is but one. */
  readonly part: string;
  /** The socket, with the USB version that it speaks; empty for virtual ones. `path` does not tell a USB 2 port from a USB 3 one. */
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

/** The keys of the devices that hang on USB, told by their places in sysfs alone. */
export const usbDeviceKeys = (sysfs = '/sys'): DeviceKey[] =>
  deviceKeys(sysfs).filter((key) => /\/usb\d+\//.test(placeOf(sysfsLink(key, sysfs))));

function placeOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    // Unplugged meanwhile.
    return '';
  }
}

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
    const link = sysfsLink(key, sysfs);
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
      part: devicePart(path, { subsystem, name }, block, sysfs),
      port: portOf(path, sysfs),
      block,
    };
  } catch (error) {
    if (['ENOENT', 'ENODEV', 'ENOTDIR', 'EINVAL'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
}

/** The symbolic link in sysfs that leads from a device's number to its directory. */
export const sysfsLink = (key: DeviceKey, sysfs = '/sys'): string =>
  join(sysfs, 'dev', key.startsWith('b') ? 'block' : 'char', key.slice(1));

function identify(path: string, block: BlockDevice | undefined, sysfs: string): Hardware {
  if (block) {
    const { bus, vendor, model, serial, product, usb, interfaces, path } = block;
    return { bus, vendor, model, serial, product, usb, interfaces, path };
  }
  const where = { ...usbFacts(path, sysfs), path: devicePath(path, sysfs) };
  const usb = usbDeviceOf(path, sysfs);
  if (usb) {
    return {
      ...where,
      bus: 'usb',
      vendor: attribute(usb, 'manufacturer') || attribute(usb, 'idVendor'),
      model: attribute(usb, 'product') || attribute(usb, 'idProduct'),
      serial: attribute(usb, 'serial'),
    };
  }
  return {
    ...where,
    bus: busOf(path, sysfs),
    vendor: attribute(path, 'device/vendor') || attribute(path, 'device/manufacturer'),
    model: attribute(path, 'device/model') || attribute(path, 'device/name'),
    serial: attribute(path, 'device/serial') || attribute(path, 'device/uniq'),
  };
}

/** The bus of the nearest ancestor that is on one. A subsystem that /sys/bus lists is a bus; others are classes. */
function busOf(path: string, sysfs: string): string {
  for (const at of ancestors(dirname(path), sysfs)) {
    try {
      const subsystem = realpathSync(join(at, 'subsystem'));
      if (dirname(subsystem) === join(sysfs, 'bus')) return basename(subsystem);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
      // A directory of its class between a device and its parent.
    }
  }
  return 'virtual';
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
