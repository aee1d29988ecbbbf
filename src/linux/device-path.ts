import { readdirSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isErrno } from './errors.ts';
import { ancestors, attribute } from './sysfs.ts';

/**
 * Where a device is plugged in, the way udev writes ID_PATH (systemd, src/udev/udev-builtin-path_id.c), from sysfs alone:
 * `pci-0000:00:14.0-usb-0:1.3:1.0`. Bus and host numbers that change from boot to boot are not in it. Empty for virtual devices.
 * @param path the device's directory below `/sys/devices`
 */
export function devicePath(path: string, sysfs: string): string {
  const words: string[] = [];
  const parents = ancestors(path, sysfs);
  for (let i = 0; i < parents.length; i++) {
    const at = parents[i] as string;
    const bus = subsystemOf(at);
    const word = WORDS[bus]?.(at);
    if (word === undefined) continue;
    words.unshift(word);
    // Bridges and hubs above are of the same bus, and udev names the lowest only.
    while (ONE_OF.has(bus) && i + 1 < parents.length && subsystemOf(parents[i + 1] as string) === bus) i++;
  }
  return words.join('-');
}

/** Where a USB device is plugged in, whichever of its interfaces is meant: `pci-0000:00:14.0-usb-0:1.3`. */
export const usbPort = (path: string): string => path.replace(/(-usb-0:[0-9.]+):.*$/, '$1');

/** Of these, only the device nearest to ours is named. */
const ONE_OF: ReadonlySet<string> = new Set(['usb', 'pci', 'platform', 'scsi']);

const WORDS: Readonly<Record<string, (path: string) => string | undefined>> = {
  // `2-1.3` or, an interface, `2-1.3:1.0`; the bus number depends on the order of controllers.
  usb: (path) => {
    const port = /^\d+-(.+)$/.exec(basename(path))?.[1];
    return port === undefined ? undefined : `usb-0:${port}`;
  },
  pci: (path) => `pci-${basename(path)}`,
  platform: (path) => `platform-${basename(path)}`,
  serio: (path) => `serio-${basename(path).replace(/^serio/, '')}`,
  scsi: scsiWord,
  nvme: (path) => {
    const namespace = attribute(path, 'nsid');
    return namespace === '' ? undefined : `nvme-${namespace}`;
  },
};

/** `host:channel:target:unit`, with hosts counted from the first of this controller. */
function scsiWord(path: string): string | undefined {
  const [, host, rest] = /^(\d+):(\d+:\d+:\d+)$/.exec(basename(path)) ?? [];
  if (host === undefined) return undefined;
  const hostDirectory = ancestorNamed(path, `host${host}`);
  const siblings = hostDirectory === undefined ? [] : hostNumbers(dirname(hostDirectory));
  return `scsi-${Number(host) - Math.min(Number(host), ...siblings)}:${rest}`;
}

function ancestorNamed(path: string, name: string): string | undefined {
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) if (basename(at) === name) return at;
  return undefined;
}

function hostNumbers(controller: string): number[] {
  try {
    return readdirSync(controller).flatMap((name) => (/^host\d+$/.test(name) ? [Number(name.slice(4))] : []));
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    // Gone meanwhile: the host stands alone.
    return [];
  }
}

function subsystemOf(path: string): string {
  try {
    return basename(readlinkSync(join(path, 'subsystem')));
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    // A directory between two devices has none.
    return '';
  }
}
