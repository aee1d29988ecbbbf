import { entries } from './sysfs.ts';

/**
 * The block devices, by the kernel's names, that belong to a btrfs which is mounted somewhere, and its UUID. Of a btrfs on several
 * devices the mount tables name one only (Documentation/ABI/testing/sysfs-fs-btrfs).
 */
export function btrfsMembers(sysfs = '/sys'): Map<string, string> {
  const directory = `${sysfs}/fs/btrfs`;
  return new Map(
    entries(directory).flatMap((uuid) => entries(`${directory}/${uuid}/devices`).map((name) => [name, uuid] as const)),
  );
}
