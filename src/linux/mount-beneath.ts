import { constants } from 'node:os';
import { SYS } from './constants.ts';
import { errno, libc } from './libc.ts';

export const MOVE_MOUNT_BENEATH = 0x200;

/**
 * Whether the kernel can mount beneath what is mounted (Linux 6.5). It refuses a flag that it does not know with EINVAL, before it looks
 * at the descriptors (move_mount in fs/namespace.c).
 */
export function canMountBeneath(): boolean {
  libc.syscall(SYS.move_mount, 'int', -1, 'str', '', 'int', -1, 'str', '', 'uint', MOVE_MOUNT_BENEATH);
  return errno() !== constants.errno.EINVAL;
}
