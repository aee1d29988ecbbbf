import { readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { devicePath } from './device-path.ts';
import { errorCode } from './errors.ts';
import { exists } from './exists.ts';
import type { Hardware } from './hardware.ts';
import { ancestors, attribute, entries, kernelAttribute, usbDeviceOf } from './sysfs.ts';
import { usbFacts } from './usb.ts';

/** A block device as sysfs shows it. Its strings come from the device itself: hostile. */
export interface BlockDevice extends Hardware {
  /** The kernel's name, `sdb1`. */
  readonly name: string;
  /** `major:minor`. */
  readonly device: string;
  readonly isPartition: boolean;
  /** The whole disk's name; its own where it is one. */
  readonly disk: string;
  /** Counts up for each medium, of all disks: 0 where the kernel (before 5.15) does not tell. */
  readonly diskSequence: number;
  /** Bytes; 0: no medium. Of a partition too, which the kernel leaves as it was where it is mounted. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Medium or device can be taken out. */
  readonly removable: boolean;
  /** Devices that are built on this one: LVM, RAID, dm-crypt, multipath. */
  readonly holders: readonly string[];
  /** Devices that this one is built on. */
  readonly slaves: readonly string[];
  /** One of those has gone, or has no medium: there is nothing behind it any more. */
  readonly isSevered: boolean;
  /** Names of the partitions. */
  readonly partitions: readonly string[];
}

const SECTOR = 512;

/** The names of all block devices, partitions included. */
export const blockDeviceNames = (sysfs = '/sys'): string[] => readdirSync(join(sysfs, 'class/block'));

/** Undefined where there is no such device, or no longer. */
export function readBlockDevice(name: string, sysfs = '/sys'): BlockDevice | undefined {
  try {
    const path = realpathSync.native(join(sysfs, 'class/block', name));
    const isPartition = exists(join(path, 'partition'));
    const disk = isPartition ? dirname(path) : path;
    const device = kernelAttribute(path, 'dev');
    if (device === '') return undefined;
    const identity = identify(disk, sysfs);
    return {
      name,
      device,
      isPartition,
      disk: basename(disk),
      diskSequence: Number(kernelAttribute(disk, 'diskseq')),
      size: kernelAttribute(disk, 'size') === '0' ? 0 : Number(kernelAttribute(path, 'size')) * SECTOR,
      readOnly: kernelAttribute(path, 'ro') === '1',
      removable: attribute(disk, 'removable') === '1' || identity.bus === 'usb' || isPluggable(disk, sysfs),
      ...identity,
      holders: entries(join(path, 'holders')),
      slaves: entries(join(path, 'slaves')),
      isSevered: isSevered(path),
      partitions: isPartition ? [] : partitionsIn(path),
    };
  } catch (error) {
    if (['ENOENT', 'ENODEV'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
}

/** A link to a device that has gone leads nowhere. */
function isSevered(path: string): boolean {
  return entries(join(path, 'slaves')).some((name) => {
    const slave = join(path, 'slaves', name);
    if (!exists(join(slave, 'dev'))) return true;
    const real = realpathSync.native(slave);
    const disk = exists(join(real, 'partition')) ? dirname(real) : real;
    return kernelAttribute(disk, 'size') === '0' || isSevered(real);
  });
}

function identify(disk: string, sysfs: string): Hardware {
  const usb = usbDeviceOf(disk, sysfs);
  return {
    bus: busOf(disk.slice(sysfs.length)),
    vendor: attribute(disk, 'device/vendor') || (usb ? attribute(usb, 'manufacturer') : ''),
    model: attribute(disk, 'device/model') || attribute(disk, 'device/name') || (usb ? attribute(usb, 'product') : ''),
    ...usbFacts(disk, sysfs),
    path: devicePath(disk, sysfs),
    serial: (usb ? attribute(usb, 'serial') : '') || attribute(disk, 'device/serial') || attribute(disk, 'serial'),
  };
}

/** From the path below /sys. The order matters: a USB stick hangs on a SCSI host, a SATA disk too. */
const BUSES: readonly (readonly [pattern: RegExp, bus: string])[] = [
  [/\/usb\d+\//, 'usb'],
  [/\/mmc_host\//, 'mmc'],
  [/\/nvme/, 'nvme'],
  [/\/ata\d+\//, 'ata'],
  [/\/fw\d+\//, 'firewire'],
  [/\/virtio\d+\/block\//, 'virtio'],
  [/\/host\d+\/target/, 'scsi'],
];

/** The bus: `usb`, `nvme`, `scsi`, `ata`, `mmc`, `virtio` …, or the driver's own word: `loop`, `zram`, `dm`, `md`. */
function busOf(path: string): string {
  const known = BUSES.find(([pattern]) => pattern.test(path));
  return known ? known[1] : basename(path).replace(/[-\d].*$/, '');
}

/** An SD card, or the kernel's word for the socket a device sits in (Documentation/ABI/testing/sysfs-devices-removable). */
const isPluggable = (disk: string, sysfs: string): boolean =>
  attribute(disk, 'device/type') === 'SD' ||
  ancestors(dirname(disk), sysfs).some((path) => attribute(path, 'removable') === 'removable');

/** The names of a disk's partitions; none where there is no such disk. */
export const partitionsOf = (disk: string, sysfs = '/sys'): string[] => partitionsIn(join(sysfs, 'class/block', disk));

function partitionsIn(directory: string): string[] {
  const prefix = basename(directory);
  return entries(directory).filter((entry) => entry.startsWith(prefix) && exists(join(directory, entry, 'partition')));
}
