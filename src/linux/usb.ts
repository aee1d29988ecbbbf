import { readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isErrno } from './errors.ts';
import { exists } from './exists.ts';
import { ancestors, attribute, entries, usbDeviceOf } from './sysfs.ts';

/** What sysfs says of the USB device that a device is part of; all empty where it is part of none. */
export interface UsbFacts {
  /** `idVendor:idProduct` in lower-case hexadecimal, as lsusb prints it. */
  readonly usb: string;
  /** The product string of its descriptor: hostile. */
  readonly product: string;
  /** `class/subclass/protocol`: of the interface that the device belongs to, or of all where it is the USB device itself. */
  readonly interfaces: readonly string[];
}

const NONE: UsbFacts = { usb: '', product: '', interfaces: [] };

/** @param path the device's directory below `/sys/devices` */
export function usbFacts(path: string, sysfs: string): UsbFacts {
  const usb = usbDeviceOf(path, sysfs);
  if (usb === undefined) return NONE;
  const own = interfaceOf(path, sysfs);
  const directories = own === undefined ? entries(usb).map((entry) => join(usb, entry)) : [own];
  return {
    usb: `${attribute(usb, 'idVendor')}:${attribute(usb, 'idProduct')}`,
    product: attribute(usb, 'product'),
    interfaces: [...new Set(directories.filter(isInterface).map(describeInterface))],
  };
}

/**
 * Whether no driver of the kernel has any of a USB device's interfaces: programs reach it through libusb alone. One that a program has claimed
 * through usbfs is left to programs, too.
 * @param device its directory in sysfs, which may be a symbolic link
 * @throws Node's error where that cannot be told: a device that a driver has is not to be taken for free
 */
export function isLeftToPrograms(device: string): boolean {
  const interfaces = entries(device)
    .map((entry) => join(device, entry))
    .filter(isInterface);
  return interfaces.length > 0 && interfaces.every((path) => ['', 'usbfs'].includes(driverOf(path)));
}

function driverOf(path: string): string {
  try {
    return basename(readlinkSync(join(path, 'driver')));
  } catch (error) {
    // It has none, or has just been unplugged.
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ENODEV')) throw error;
    return '';
  }
}

/** The directory of the USB interface that a device belongs to. */
export const interfaceOf = (path: string, sysfs: string): string | undefined =>
  ancestors(path, sysfs).find(isInterface);

const isInterface = (path: string): boolean => exists(join(path, 'bInterfaceClass'));

const describeInterface = (path: string): string =>
  ['bInterfaceClass', 'bInterfaceSubClass', 'bInterfaceProtocol'].map((name) => attribute(path, name)).join('/');
