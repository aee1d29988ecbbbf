import { closeSync } from 'node:fs';
import { constants, release } from 'node:os';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  MNT_DETACH,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  SYS,
  UMOUNT_NOFOLLOW,
} from './constants.ts';
import { joinNumber } from './device-number.ts';
import { errorCode, isErrno } from './errors.ts';
import { check, errno, libc } from './libc.ts';
import { openBelow } from './openat2.ts';

/** `MOUNT_ATTR_*` of mount_setattr(2). */
const ATTRIBUTES = { readOnly: 0x1, noSuid: 0x2, noDev: 0x4, noExec: 0x8 } as const;
const IDMAP = 0x100000;
/** `MS_*` propagation types of mount(2). */
const PROPAGATION = { private: 1 << 18, slave: 1 << 19, shared: 1 << 20 } as const;

export type MountAttribute = keyof typeof ATTRIBUTES;
export type Propagation = keyof typeof PROPAGATION;

/** The last of the calls used here to come into the kernel was mount_setattr(2). @throws Error where this one has not got it */
export function requireMountApi(): void {
  // A structure of no size is refused before anything else is looked at.
  const result = libc.syscall(SYS.mount_setattr, 'int', -1, 'str', '', 'uint', 0, 'void *', null, 'size_t', 0);
  if (Number(result) < 0 && errno() === constants.errno.ENOSYS) {
    throw new Error(
      `the kernel of this node, Linux ${release()}, has no mount_setattr(2): hotmount takes Linux 5.12 or newer, and a container in which seccomp does not hide the call`,
    );
  }
}

const OPEN_TREE_CLONE = 1;

/** A mount that is attached nowhere: it lives as long as its descriptor, and leaves nothing behind when the process dies. */
export type DetachedMount = number;

/**
 * A new file system, detached. `options` are those of its type, tmpfs(5) for instance; `source` is what mountinfo will show in place of
 * a device.
 * @throws SystemCallError
 */
export function createFileSystem(
  type: 'tmpfs' | 'proc' | 'sysfs' | 'fusectl' | 'debugfs' | 'selinuxfs',
  source: string,
  options: Readonly<Record<string, string>>,
  attributes: readonly MountAttribute[],
): DetachedMount {
  const context = check(libc.syscall(SYS.fsopen, 'str', type, 'uint', 1), 'fsopen', type);
  try {
    for (const [key, value] of Object.entries({ source, ...options })) {
      check(libc.syscall(SYS.fsconfig, 'int', context, 'uint', 1, 'str', key, 'str', value, 'int', 0), 'fsconfig', key);
    }
    check(libc.syscall(SYS.fsconfig, 'int', context, 'uint', 6, 'str', null, 'str', null, 'int', 0), 'fsconfig', type);
    return check(
      libc.syscall(SYS.fsmount, 'int', context, 'uint', 1, 'uint', bits(ATTRIBUTES, attributes)),
      'fsmount',
      type,
    );
  } finally {
    closeSync(context);
  }
}

/** A detached copy of the mount at `path`, with what is mounted below it only where it is `recursive`. @throws SystemCallError */
export function cloneMount(path: string, { recursive = false } = {}): DetachedMount {
  const flags = OPEN_TREE_CLONE | O_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  return check(libc.syscall(SYS.open_tree, 'int', AT_FDCWD, 'str', path, 'uint', flags), 'open_tree', path);
}

/** Why a mount is not shown by the ids of another user namespace: it is by those of some other one already, or its file system never is. */
export type NotMapped = 'mapped already' | 'cannot be mapped';

/**
 * The same, shown by the ids of a user namespace.
 * @returns why not, where the next try would come to the same
 * @throws SystemCallError for every other failure: it says nothing about the file system
 */
export function cloneMapped(path: string, namespace: number): DetachedMount | NotMapped {
  try {
    return cloneMappedAtOnce(path, namespace);
  } catch (error) {
    if (isRefusal(error)) return 'cannot be mapped';
    if (!isErrno(error, 'ENOSYS', 'EPERM')) throw error;
  }
  const clone = cloneMount(path);
  try {
    setMountAttributes(clone, { propagation: 'private', idmap: namespace });
    return clone;
  } catch (error) {
    closeSync(clone);
    if (isRefusal(error)) return 'cannot be mapped';
    // The only EPERM that a process with CAP_SYS_ADMIN meets (`can_idmap_mount` in fs/namespace.c).
    if (errorCode(error) === 'EPERM') return 'mapped already';
    throw error;
  }
}

/** `can_idmap_mount` in the kernel's fs/namespace.c; EOPNOTSUPP comes from file systems. */
const isRefusal = (error: unknown): boolean => isErrno(error, 'EINVAL', 'EOPNOTSUPP');

/** Also where the mount is mapped already. @throws SystemCallError ENOSYS before Linux 6.15, EPERM where seccomp hides the call */
function cloneMappedAtOnce(path: string, namespace: number): DetachedMount {
  const attr = new BigUint64Array([BigInt(IDMAP), 0n, BigInt(PROPAGATION.private), BigInt(namespace)]);
  const flags = OPEN_TREE_CLONE | O_CLOEXEC;
  const result = libc.syscall(
    SYS.open_tree_attr,
    'int',
    AT_FDCWD,
    'str',
    path,
    'uint',
    flags,
    'void *',
    attr,
    'size_t',
    attr.byteLength,
  );
  return check(result, 'open_tree_attr', path);
}

/** Changes a mount, detached and before anyone can see it or by a descriptor on its root. @throws SystemCallError */
export function setMountAttributes(
  mount: DetachedMount,
  change: {
    set?: readonly MountAttribute[];
    clear?: readonly MountAttribute[];
    propagation?: Propagation;
    /** What is mounted below it, too. */
    recursive?: boolean;
    /** A user namespace by whose ids files are shown to belong to others than on the disk (`MOUNT_ATTR_IDMAP`): EINVAL where the file system cannot. */
    idmap?: number;
  },
): void {
  const attr = new BigUint64Array([
    BigInt(bits(ATTRIBUTES, change.set ?? []) | (change.idmap === undefined ? 0 : IDMAP)),
    BigInt(bits(ATTRIBUTES, change.clear ?? [])),
    BigInt(change.propagation ? PROPAGATION[change.propagation] : 0),
    BigInt(change.idmap ?? 0),
  ]);
  const result = libc.syscall(
    SYS.mount_setattr,
    'int',
    mount,
    'str',
    '',
    'uint',
    AT_EMPTY_PATH | (change.recursive ? AT_RECURSIVE : 0),
    'void *',
    attr,
    'size_t',
    attr.byteLength,
  );
  check(result, 'mount_setattr');
}

/** Attaches a detached mount at a file or directory, given as path or open descriptor; it propagates as it is. @throws SystemCallError */
export function attachMount(mount: DetachedMount, target: string | number): void {
  const [dir, path, flags] = typeof target === 'string' ? [AT_FDCWD, target, 0x4] : [target, '', 0x4 | 0x40];
  check(
    libc.syscall(SYS.move_mount, 'int', mount, 'str', '', 'int', dir, 'str', path, 'uint', flags),
    'move_mount',
    String(target),
  );
}

/**
 * Opens (`O_PATH`) the directory `path` below `root`. Follows no symbolic link, leaves `root` by no other way, and fails with `EXDEV`
 * where something is mounted on the way or at the end: what is mounted through it cannot land elsewhere, nor on top of a mount.
 * @throws SystemCallError
 */
export const openBeneath = (root: number, path: string): number =>
  openBelow(root, path, O_PATH | O_DIRECTORY, ['noMounts', 'noLinks']);

/**
 * Detaches the mount at `path` from the mount table at once (`MNT_DETACH`). Only for file systems of our own making: the last
 * reference to a foreign one may hang, which is work for a child process.
 * @throws SystemCallError
 */
export function detachMount(path: string): void {
  check(libc.umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW), 'umount2', path);
}

const NODE_TYPES = { char: 0o020000, block: 0o060000 } as const;

/** Makes a device node of mode 0400. @throws SystemCallError */
export function makeNode(path: string, type: keyof typeof NODE_TYPES, major: number, minor: number): void {
  check(libc.mknod(path, NODE_TYPES[type] | 0o400, joinNumber(major, minor)), 'mknod', path);
}

function bits<K extends string>(table: Readonly<Record<K, number>>, names: readonly K[]): number {
  return names.reduce((sum, name) => sum | table[name], 0);
}
