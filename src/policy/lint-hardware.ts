import { didYouMean, quote } from '../contract/suggest.ts';
import { isExclusion, literalOf } from './globs.ts';
import type { DeviceMatch, MediaMatch } from './policy.ts';

/** What a class goes by that no device has, a phrase each: names that people know a device by, where the kernel's are meant. Pure. */
export const hardwareDoubts = (match: readonly (MediaMatch | DeviceMatch)[]): readonly string[] =>
  match.flatMap((entry) => [
    ...doubts(entry.bus, busDoubt),
    ...doubts('subsystem' in entry ? entry.subsystem : undefined, subsystemDoubt),
    ...doubts(entry.devname, devnameDoubt),
    ...doubts(entry.path, pathDoubt),
  ]);

const doubts = (globs: readonly string[] | undefined, doubt: (glob: string) => string | undefined): string[] =>
  (globs ?? []).filter((glob) => !isExclusion(glob)).flatMap((glob) => doubt(glob) ?? []);

/** As the node daemon names them, from the sysfs path; others are possible. */
const COMMON_BUSES = ['usb', 'nvme', 'scsi', 'ata', 'mmc', 'virtio', 'loop', 'zram'];

function busDoubt(bus: string): string | undefined {
  const hint = literalOf(bus) === bus && !COMMON_BUSES.includes(bus) ? didYouMean(bus, COMMON_BUSES) : '';
  return hint === '' ? undefined : `the bus ${quote(bus)} is not one that is known${hint}`;
}

/** What is not the name of a subsystem, or of one whose devices have no nodes → the one that has them. */
const SUBSYSTEMS: Readonly<Record<string, string>> = {
  serial: 'tty',
  'usb-serial': 'tty',
  ttyUSB: 'tty',
  ttyACM: 'tty',
  video: 'video4linux',
  v4l: 'video4linux',
  camera: 'video4linux',
  snd: 'sound',
  audio: 'sound',
  alsa: 'sound',
  hid: 'hidraw',
  keyboard: 'input',
  gpu: 'drm',
  dri: 'drm',
  disk: 'block',
  printer: 'usbmisc',
  lp: 'usbmisc',
  i2c: 'i2c-dev',
  spi: 'spidev',
};
const COMMON_SUBSYSTEMS = [...new Set(Object.values(SUBSYSTEMS)), 'usb', 'misc', 'dvb', 'media', 'scsi_generic'];

function subsystemDoubt(subsystem: string): string | undefined {
  const meant = Object.hasOwn(SUBSYSTEMS, subsystem) ? SUBSYSTEMS[subsystem] : undefined;
  if (meant !== undefined) return `no device has the subsystem ${quote(subsystem)}; write ${quote(meant)}`;
  const isKnown = literalOf(subsystem) !== subsystem || COMMON_SUBSYSTEMS.includes(subsystem);
  const hint = isKnown ? '' : didYouMean(subsystem, COMMON_SUBSYSTEMS);
  return hint === '' ? undefined : `the subsystem ${quote(subsystem)} is not one that is known${hint}`;
}

function devnameDoubt(devname: string): string | undefined {
  const name = devname.replace(/^\/dev\//, '');
  if (/(^|\/)by-[a-z]+(\/|$)/.test(name)) {
    return `the devname ${quote(devname)} is a link of udev's, and devname is the kernel's name; match what the link is named after, such as label, usb, serial or path`;
  }
  if (!devname.startsWith('/')) return undefined;
  const hint = name === devname ? '' : `; write ${quote(name)}`;
  return `the devname ${quote(devname)} matches nothing: names of devices go without /dev/${hint}`;
}

/** The kernel's name of a USB port, `1-1.3` or, with the interface, `1-1.3:1.0`: the bus in it depends on the order of plugging. */
function pathDoubt(path: string): string | undefined {
  const [, port] = /^\d+-(\d+(?:\.\d+)*)(?::\d+\.\d+)?$/.exec(path) ?? [];
  if (port === undefined) return undefined;
  return `the path ${quote(path)} is the kernel's name of a port, and path is udev's; write ${quote(`*-usb-0:${port}`)}`;
}
