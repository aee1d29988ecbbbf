import { basename, dirname } from 'node:path';
import type { BlockDevice } from './block.ts';
import { inputKind } from './input-kind.ts';
import { ancestors, attribute } from './sysfs.ts';
import { interfaceOf } from './usb.ts';

/** A device by its names in the kernel. */
export interface Named {
  readonly subsystem: string;
  /** Below /dev. */
  readonly name: string;
}

/**
 * Which of several nodes of the same hardware a device is, as udev's links have it: `if00-port0`, `event-kbd`, `video-index0`, `0:0-part1`
 * (systemd, rules.d/60-serial.rules, 60-persistent-input.rules, 60-persistent-v4l.rules, 60-persistent-storage.rules). It has no number
 * that the kernel gives in the order of plugging. Empty where there is but one.
 * @param path the device's directory below `/sys/devices`
 */
export function devicePart(path: string, named: Named, block: BlockDevice | undefined, sysfs: string): string {
  const parts = block ? diskParts(path, block, sysfs) : [...interfaceParts(path, named, sysfs), kindOf(path, named)];
  return parts.filter(Boolean).join('-');
}

/** The target and unit of a disk behind USB (card readers have a unit for each slot), and the partition. */
function diskParts(path: string, block: BlockDevice, sysfs: string): string[] {
  const unit = ancestors(path, sysfs)
    .map((at) => /^\d+:\d+:(\d+:\d+)$/.exec(basename(at))?.[1])
    .find((found) => found !== undefined);
  const instance = unit !== undefined && (block.bus === 'usb' || unit !== '0:0') ? unit : '';
  return [instance, block.isPartition ? `part${attribute(path, 'partition')}` : ''];
}

/** Serial ports always name their interface, other devices only one that is not the first. */
function interfaceParts(path: string, { subsystem }: Named, sysfs: string): string[] {
  const own = interfaceOf(path, sysfs);
  const number = own === undefined ? '' : attribute(own, 'bInterfaceNumber');
  const port = attribute(dirname(dirname(path)), 'port_number');
  return [
    number && (subsystem === 'tty' || number !== '00') ? `if${number}` : '',
    subsystem === 'tty' && port ? `port${port}` : '',
  ];
}

/** These have one node for each function of the hardware. */
const ONE_NODE: ReadonlySet<string> = new Set(['tty', 'usb', 'misc', 'rtc', 'watchdog']);

function kindOf(path: string, { subsystem, name }: Named): string {
  const node = basename(name);
  if (ONE_NODE.has(subsystem)) return '';
  // `controlC1`, `pcmC1D0p`: the card's number depends on the order, what follows does not.
  if (subsystem === 'sound') return node.replace(/C\d+/, '');
  const stem = node.replace(/\d+$/, '');
  if (subsystem === 'video4linux') return `${stem}-index${attribute(path, 'index') || '0'}`;
  if (subsystem !== 'input') return stem;
  const kind = inputKind(path);
  return stem === 'event' ? ['event', kind].filter(Boolean).join('-') : kind || stem;
}
