import { closeSync, openSync, readdirSync } from 'node:fs';
import { check, libc } from './libc.ts';

/** linux/loop.h */
const LOOP_CTL_REMOVE = 0x4c81;

/** The numbers of the loop devices that there are, attached or not. */
export const loopDevices = (): Set<number> =>
  new Set(readdirSync('/sys/block').flatMap((name) => (/^loop\d+$/.test(name) ? [Number(name.slice(4))] : [])));

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
