import { readFileSync, statSync } from 'node:fs';

/** The block devices (`major:minor`) that are in use as swap. Swap files are on file systems, and those are mounted. */
export function swapDevices(): Set<string> {
  const [, ...lines] = readFileSync('/proc/swaps', 'utf8').trim().split('\n');
  const devices = new Set<string>();
  for (const line of lines) {
    const [path = '', type] = line.split(/\s+/);
    if (type !== 'partition') continue;
    const device = deviceNumber(path.replace(/\\040/g, ' '));
    if (device) devices.add(device);
  }
  return devices;
}

/** `major:minor` of the device node at `path`, undefined where there is none. */
export function deviceNumber(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  if (!stat || !(stat.isBlockDevice() || stat.isCharacterDevice())) return undefined;
  return splitNumber(stat.rdev);
}

/** `major:minor` of a `st_rdev`, as glibc's gnu_dev_major and gnu_dev_minor take it apart. */
export function splitNumber(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  return `${major}:${minor & 0xffffffffn}`;
}
