import { constants } from 'node:os';
import { AT_FDCWD, SYS } from './constants.ts';
import { errno, libc } from './libc.ts';

/**
 * The mount API as a thread needs it that is in another mount namespace: paths are bytes, zero-terminated, and what fails is told by a
 * negative number or false, with `errno()`.
 */
export const OPEN_TREE_CLONE = 1;
export const MOVE_MOUNT_BENEATH = 0x200;
export const MS_PRIVATE = 1n << 18n;
export const MS_SHARED = 1n << 20n;
export const EMPTY_PATH = Buffer.alloc(1);
const MOVE_MOUNT_F_EMPTY_PATH = 0x4;

/** @returns a descriptor, or a negative number */
export const openTree = (directory: number, path: Uint8Array, flags: number): number =>
  Number(libc.syscall(SYS.open_tree, 'int', directory, 'void *', path, 'uint', flags));

/** Mounts a tree, or moves the mount of a descriptor. */
export function moveMount(tree: number, path: Uint8Array, flags = 0): boolean {
  const all = MOVE_MOUNT_F_EMPTY_PATH | flags;
  const result = libc.syscall(SYS.move_mount, 'int', tree, 'str', '', 'int', AT_FDCWD, 'void *', path, 'uint', all);
  return Number(result) === 0;
}

/** @param change `MOUNT_ATTR_*` to set and to clear, and the propagation type */
export function setAttributes(
  directory: number,
  path: Uint8Array,
  flags: number,
  change: readonly [set: bigint, clear: bigint, propagation: bigint],
): boolean {
  const attributes = new BigUint64Array([...change, 0n]);
  const size = attributes.byteLength;
  const call = ['int', directory, 'void *', path, 'uint', flags, 'void *', attributes, 'size_t', size] as const;
  return Number(libc.syscall(SYS.mount_setattr, ...call)) === 0;
}

/**
 * Whether the kernel can mount beneath what is mounted (Linux 6.5). It refuses a flag that it does not know with EINVAL, before it looks
 * at the descriptors (move_mount in fs/namespace.c).
 */
export function canMountBeneath(): boolean {
  libc.syscall(SYS.move_mount, 'int', -1, 'str', '', 'int', -1, 'str', '', 'uint', MOVE_MOUNT_BENEATH);
  return errno() !== constants.errno.EINVAL;
}
