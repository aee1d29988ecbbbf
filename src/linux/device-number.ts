import { statSync } from 'node:fs';

/** `major:minor` of the device node at `path`, undefined where there is none. */
export function deviceNumber(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  if (!stat || !(stat.isBlockDevice() || stat.isCharacterDevice())) return undefined;
  return splitNumber(stat.rdev);
}

/** `major:minor` of a `st_dev` or `st_rdev`, as glibc's gnu_dev_major and gnu_dev_minor take it apart. */
export function splitNumber(number: bigint): string {
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn);
  const minor = (number & 0xffn) | ((number >> 12n) & ~0xffn);
  return `${major}:${minor & 0xffffffffn}`;
}

/** What mknod(2) takes, as glibc's gnu_dev_makedev puts it together. */
export function joinNumber(major: number, minor: number): bigint {
  const [ma, mi] = [BigInt(major), BigInt(minor)];
  return ((ma & 0xfffn) << 8n) | ((ma & ~0xfffn) << 32n) | (mi & 0xffn) | ((mi & ~0xffn) << 12n);
}
