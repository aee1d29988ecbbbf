import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isErrno } from './errors.ts';
import { exists } from './exists.ts';

/**
 * Trimmed; empty where there is no such attribute, or the device does not answer for it. What it says may be the device's own words: hostile.
 * @throws Node's error for want of descriptors or memory, which says nothing of the device
 */
export function attribute(path: string, name: string): string {
  try {
    return kernelAttribute(path, name);
  } catch (error) {
    if (isErrno(error, 'EMFILE', 'ENFILE', 'ENOMEM')) throw error;
    return '';
  }
}

/** The same, of what the kernel knows without asking the device. @throws Node's error where it cannot be read, or the device has just gone */
export function kernelAttribute(path: string, name: string): string {
  const file = join(path, name);
  // Most devices lack most of them, and an error costs ten times what looking does.
  return exists(file) ? readFileSync(file, 'utf8').trim() : '';
}

/** The directory of a device and those above it, up to `/sys/devices`. */
export function ancestors(path: string, sysfs: string): string[] {
  const result: string[] = [];
  for (let at = path; at.startsWith(join(sysfs, 'devices/')); at = dirname(at)) result.push(at);
  return result;
}

/** Names in a directory; none where there is none. @throws Node's error where it cannot be read */
export function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ENODEV')) throw error;
    return [];
  }
}

/** The USB device (not one of its interfaces) that a device is part of. */
export const usbDeviceOf = (path: string, sysfs: string): string | undefined =>
  ancestors(path, sysfs).find((at) => exists(join(at, 'idVendor')));
