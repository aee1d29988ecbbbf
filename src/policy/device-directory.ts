import type { DeviceClass, DeviceMatch } from './policy.ts';

/** Where the kernel puts the nodes of a subsystem below /dev; those of the others are in /dev itself, or in several places. */
const DIRECTORIES: Readonly<Record<string, string>> = {
  usb: 'bus/usb',
  input: 'input',
  sound: 'snd',
  drm: 'dri',
  dvb: 'dvb',
  accel: 'accel',
};

/**
 * The directory below /dev that is left away from the names of a class's nodes: what the class says, else the one that all its devices are in.
 * So a class of `bus/usb/*` at `/dev/bus/usb` looks as libusb expects, one of `input/*` at `/dev/input`, `net/tun` at `/dev/net`. Empty: none. Pure.
 */
export function deviceDirectory({ directory, match }: Pick<DeviceClass, 'directory' | 'match'>): string {
  if (directory !== undefined) return directory;
  const [first = '', ...others] = match.map(directoryOf);
  return others.reduce(commonDirectory, first);
}

/** The name that a node or link has in its class, below the directory of the class. */
export const inDirectory = (name: string, directory: string): string =>
  directory !== '' && name.startsWith(`${directory}/`) ? name.slice(directory.length + 1) : name;

function directoryOf({ subsystem, devname }: DeviceMatch): string {
  const names = devname?.filter((glob) => !glob.startsWith('!')) ?? [];
  if (names.length > 0) return names.map(literalDirectory).reduce(commonDirectory);
  const subsystems = subsystem ?? [];
  return subsystems.length === 0 ? '' : subsystems.map((name) => DIRECTORIES[name] ?? '').reduce(commonDirectory);
}

/** Of `dvb/adapter*` it is `dvb`: what is before the first character that stands for others. */
const literalDirectory = (glob: string): string => /^[^*?[\\]*\//.exec(glob)?.[0].slice(0, -1) ?? '';

function commonDirectory(one: string, other: string): string {
  const [a, b] = [one.split('/'), other.split('/')];
  const differs = a.findIndex((part, index) => part !== b[index]);
  return (differs < 0 ? a : a.slice(0, differs)).join('/');
}
