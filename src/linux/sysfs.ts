import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Trimmed; empty where there is no such attribute, or the device does not answer for it. What it says may be the device's own words: hostile. */
export function attribute(path: string, name: string): string {
  const file = join(path, name);
  // Most devices lack most of them, and an error costs ten times what looking does.
  if (!existsSync(file)) return '';
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

/** The directory of a device and those above it, up to `/sys/devices`. */
export function ancestors(path: string, sysfs: string): string[] {
  const result: string[] = [];
  for (let at = path; at.startsWith(join(sysfs, 'devices/')); at = dirname(at)) result.push(at);
  return result;
}

/** Names in a directory; none where it cannot be read. */
export function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** The USB device (not one of its interfaces) that a device is part of. */
export const usbDeviceOf = (path: string, sysfs: string): string | undefined =>
  ancestors(path, sysfs).find((at) => existsSync(join(at, 'idVendor')));
