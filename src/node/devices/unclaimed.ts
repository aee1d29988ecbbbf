import type { Device, DeviceKey } from '../../linux/device.ts';
import { readDevice, sysfsLink, usbDeviceKeys } from '../../linux/device.ts';
import { ruleDeviceOf } from '../../linux/device-cgroup/rule.ts';
import { isLeftToPrograms } from '../../linux/usb.ts';
import { matchFor } from '../block/hardware-words.ts';

/** A device that somebody has plugged in, and no class takes. */
export interface UnclaimedDevice {
  readonly device: string;
  readonly number: string;
  readonly subsystem: string;
  readonly usb: string;
  readonly vendor: string;
  readonly model: string;
  readonly serial: string;
  readonly path: string;
  readonly interfaces: readonly string[];
  /** An item of a class's `match` that means this device. */
  readonly match: string;
}

/**
 * The functions of USB devices (serial ports, cameras, keyboards, disks) that no class takes, for an admin who wants to write one; and the
 * devices that have none, as programs reach them through libusb (accelerators, scanners, card readers).
 * @param isClaimed that of this key, or of a disk, by the kernel's name, is some class's
 */
export function unclaimedDevices(isClaimed: (key: DeviceKey, name: string) => boolean): UnclaimedDevice[] {
  return usbDeviceKeys()
    .map((key) => readDevice(key, (device) => isFunction(device) || isWhole(key, device)))
    .filter((device) => device !== undefined)
    .filter((device) => !isClaimed(device.key, device.name))
    .map(describe)
    .sort((a, b) => a.device.localeCompare(b.device, 'en', { numeric: true }));
}

/** Hubs, and the raw access to whole devices below `bus/usb`, would be in everybody's way; so would the doubles of disks. */
const isFunction = ({ subsystem }: Pick<Device, 'subsystem'>): boolean =>
  !['usb', 'bsg', 'scsi_generic', 'scsi_device', 'media'].includes(subsystem);

/** The raw access to a device is what there is of it. */
const isWhole = (key: DeviceKey, { subsystem }: Pick<Device, 'subsystem'>): boolean =>
  subsystem === 'usb' && isLeftToPrograms(sysfsLink(key));

const describe = (device: Device): UnclaimedDevice => {
  const { key, name, subsystem, usb, vendor, model, serial, path, interfaces } = device;
  const match = matchFor(device, subsystem === 'block' ? {} : { subsystem });
  return { device: name, number: ruleDeviceOf(key), subsystem, usb, vendor, model, serial, path, interfaces, match };
};
