import type { Device } from '../../linux/device.ts';
import { inDirectory } from '../../policy/index.ts';
import { truncate } from '../block/names.ts';

/** Of each class: links to the nodes by what the hardware says of itself. */
export const BY_ID = 'by-id';

/** As the kernel's own names are. What it takes from a driver or a device may be anything. */
const SAFE = /^[A-Za-z0-9][-A-Za-z0-9_.+:@=,]{0,63}$/;
/** As udev leaves them (systemd, src/shared/udev-util.c), but for what is hidden and for escapes. */
const SAFE_LINK = /^[\p{L}\p{N}][\p{L}\p{N}\p{M}#+.:=@_-]{0,199}$/u;
const MAX_DEPTH = 6;

/**
 * Where the node of a device is, below the directory of its class: as below /dev, `ttyUSB0`, `bus/usb/001/002`, without the directory that the
 * class leaves away. A device whose name is not plainly safe goes by its number, which no name can look like.
 */
export function nodeName(device: Pick<Device, 'name' | 'type' | 'major' | 'minor'>, directory = ''): string {
  const name = inDirectory(device.name, directory);
  const parts = name.split('/');
  const isSafe = parts.every((part) => SAFE.test(part)) && parts.length <= MAX_DEPTH && parts[0] !== BY_ID;
  return isSafe ? name : numberName(device);
}

/** No two devices have the same. */
export const numberName = ({ type, major, minor }: Pick<Device, 'type' | 'major' | 'minor'>): string =>
  `_${type}-${major}-${minor}`;

/** Where a link of udev's is, below the directory of its class; undefined for one that is not plainly safe. Rules take names from devices. */
export function linkName(link: string, directory: string): string | undefined {
  const name = inDirectory(link, directory);
  const parts = name.split('/');
  return parts.length <= MAX_DEPTH && parts.every((part) => SAFE_LINK.test(part)) ? name : undefined;
}

type Identified = Pick<Device, 'name' | 'bus' | 'vendor' | 'model' | 'serial' | 'part' | 'port'>;

/**
 * The names below `by-id` of the devices of one class; none for a device that says nothing of itself. They depend on nothing but what
 * is plugged in now: neither on the order in which it was, nor on what was there before. Hardware with a serial number keeps its name in
 * any port. Without one, or where the number is another's too, the port is part of the name: of equal adapters, each has its own.
 */
export function byIdNames<T extends Identified>(devices: readonly T[]): Map<string, T> {
  const climbers = devices.flatMap((device) => {
    const ladder = namesOf(device);
    return ladder ? [{ device, ladder, rung: 0 }] : [];
  });
  for (;;) {
    const groups = Map.groupBy(climbers, ({ ladder, rung }) => ladder[rung] as string);
    // All that share a name give it up: else chance would decide who keeps it, or a device that claims to be another.
    const sharers = [...groups.values()].filter((group) => group.length > 1).flat();
    const able = sharers.filter(({ ladder, rung }) => rung + 1 < ladder.length);
    for (const climber of able) climber.rung++;
    if (able.length > 0) continue;
    const alone = [...groups].filter(([, group]) => group.length === 1);
    return new Map(alone.map(([name, [only]]) => [name, only?.device as T]));
  }
}

/** From the shortest name of a device to one that no other can have; undefined for one that says nothing of itself. */
function namesOf({ name, bus, vendor, model, serial, part, port }: Identified): string[] | undefined {
  const words = [vendor, model, serial].map((word) => clean(word));
  if (words.every((word) => word === '')) return undefined;
  const join = (...parts: readonly string[]): string => parts.filter(Boolean).join('-');
  const base = `${clean(bus) || 'unknown'}-${words.filter(Boolean).join('_')}`;
  const end = clean(part, MAX_END);
  const withPort = join(base, clean(port, MAX_END), end);
  // Several nodes of one function may have the same id.
  const withName = join(truncate(base, MAX_BASE), clean(port, MAX_END), end, clean(name, MAX_END));
  return words[2] === '' ? [withPort, withName] : [join(base, end), withPort, withName];
}

/**
 * A word of a name the way udev writes it (systemd, src/shared/udev-util.c): a run of white space becomes one `_`, and so does each character
 * that is not a letter, digit or one of `#+-.:=@_`. Names that people have in their configuration stay valid here.
 */
function clean(text: string, maxLength = MAX_WORD): string {
  const word = text
    .normalize('NFC')
    .trim()
    .replace(/\s+/gu, '_')
    .replace(/[^\p{L}\p{N}\p{M}#+.:=@_-]/gu, '_');
  return /[\p{L}\p{N}]/u.test(word) ? truncate(word, maxLength) : '';
}

// Bytes, below NAME_MAX (255) together: udev cuts vendor and model at 64, too.
const MAX_WORD = 60;
const MAX_END = 24;
const MAX_BASE = 160;
