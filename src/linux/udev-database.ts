import { closeSync, openSync, readSync } from 'node:fs';
import type { DeviceKey } from './device.ts';
import { isErrno } from './errors.ts';
import { exists } from './exists.ts';

/**
 * What the udevd of the node, where there is one, has written of devices: a file for each, `E:KEY=value` on lines of their own (systemd,
 * src/libsystemd/sd-device). Names and values come from the device, by way of rules: hostile.
 */
const DIRECTORY = 'run/udev/data';

/** Far more than udev's rules of any distribution write. Bytes. */
const MAX_SIZE = 256 << 10;

/** The node's own, also from inside a container with the node's PID namespace; undefined where there is none. */
export const findUdevDatabase = (): string | undefined => [`/proc/1/root/${DIRECTORY}`, `/${DIRECTORY}`].find(isThere);

/** What udevd says of one device. */
export interface UdevRecord {
  readonly properties: ReadonlyMap<string, string>;
  /** The symbolic links to it that rules ask for, below /dev: `serial/by-id/usb-…`. Another device may have asked for the same. */
  readonly links: readonly string[];
}

/** The record of a device; empty where the database does not have it (yet), or has more of it than can be. */
export function readUdevRecord(database: string, key: DeviceKey): UdevRecord {
  const text = readBounded(`${database}/${key}`);
  return { properties: parseUdevProperties(text), links: parseUdevLinks(text) };
}

/** `S:path` on lines of their own. */
export const parseUdevLinks = (text: string): string[] =>
  text.split('\n').flatMap((line) => (line.startsWith('S:') && line.length > 2 ? [line.slice(2)] : []));

/** Of two lines for one key, the last counts, as it does for udev. */
export function parseUdevProperties(text: string): ReadonlyMap<string, string> {
  const properties = new Map<string, string>();
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=');
    if (line.startsWith('E:') && equals > 2) properties.set(line.slice(2, equals), line.slice(equals + 1));
  }
  return properties;
}

/** @throws Node's error where that cannot be told: the first process's root is not everybody's to look through */
function isThere(path: string): boolean {
  try {
    return exists(path);
  } catch (error) {
    if (!isErrno(error, 'EACCES', 'EPERM')) throw error;
    return false;
  }
}

function readBounded(path: string): string {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const bytes = Buffer.alloc(MAX_SIZE);
    const length = readSync(file, bytes, 0, MAX_SIZE, 0);
    return length < MAX_SIZE ? bytes.toString('utf8', 0, length) : '';
  } catch (error) {
    if (isErrno(error, 'EMFILE', 'ENFILE', 'ENOMEM')) throw error;
    return '';
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
