import { closeSync, openSync, readdirSync } from 'node:fs';
import { check, libc } from './libc.ts';
import { attribute, entries } from './sysfs.ts';

/** linux/loop.h */
const LOOP_CTL_REMOVE = 0x4c81;

/** The numbers of the loop devices that there are, attached or not. */
export const loopDevices = (): Set<number> =>
  new Set(readdirSync('/sys/block').flatMap((name) => (/^loop\d+$/.test(name) ? [Number(name.slice(4))] : [])));

/**
 * What attached loop devices show, by their names: the path of a file, or of a block device, as this process sees it. The kernel does not
 * hold that device exclusively for them (`loop_configure` in drivers/block/loop.c).
 */
export const loopBackings = (sysfs = '/sys'): Map<string, string> =>
  new Map(
    entries(`${sysfs}/block`).flatMap((name) => {
      const backing = /^loop\d+$/.test(name) ? attribute(`${sysfs}/block/${name}`, 'loop/backing_file') : '';
      return backing === '' ? [] : [[name, backing] as const];
    }),
  );

/**
 * Gives a detached loop device back to the kernel, which makes one for each `losetup -f` that finds none free, and keeps it for good.
 * @throws SystemCallError EBUSY where it is attached or open, ENODEV where there is none
 */
export function removeLoopDevice(number: number): void {
  const control = openSync('/dev/loop-control', 'r+');
  try {
    check(libc.ioctl(control, LOOP_CTL_REMOVE, 'long', number), 'LOOP_CTL_REMOVE', `/dev/loop${number}`);
  } finally {
    closeSync(control);
  }
}
