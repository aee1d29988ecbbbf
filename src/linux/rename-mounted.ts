import { closeSync, openSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { CLONE_FS, CLONE_NEWNS, MNT_DETACH, O_DIRECTORY, O_PATH, UMOUNT_NOFOLLOW } from './constants.ts';
import { abort } from './exit.ts';
import { check, libc } from './libc.ts';
import { mountPointBytes, parseMountinfo, topMount } from './mountinfo.ts';
import { setMountAttributes } from './mounts.ts';

const RENAME_NOREPLACE = 1;

/**
 * Renames a directory on which something may be mounted: all namespaces that have the mount see it by its new name
 * from one moment to the next. rename(2) refuses only what is a mount point in the caller's own namespace (`vfs_rename` in the
 * kernel's fs/namei.c), so it is called from one in which nothing is mounted. Only for a tmpfs of our own: this thread waits.
 * @throws SystemCallError EEXIST where there is something by the new name
 */
export function renameMounted(from: string, to: string): void {
  nowhere ??= makeNowhere();
  const source = openSync(dirname(from), O_PATH | O_DIRECTORY);
  try {
    const target = openSync(dirname(to), O_PATH | O_DIRECTORY);
    try {
      renameFromNowhere(nowhere, source, basename(from), target, basename(to));
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(source);
  }
}

/** Nothing but these calls, bound beforehand, between leaving and coming back: no file of anyone's is looked up meanwhile. */
function renameFromNowhere(
  { namespace, goHome }: Nowhere,
  source: number,
  from: string,
  target: number,
  to: string,
): void {
  // Root and working directory are shared with each thread that this one has started since, and setns(2) refuses to change them for others.
  check(libc.unshare(CLONE_FS), 'unshare');
  check(libc.setns(namespace, CLONE_NEWNS), 'setns');
  try {
    check(libc.renameat2(source, from, target, to, RENAME_NOREPLACE), 'renameat2', to);
  } finally {
    goHome();
  }
}

/** Does beforehand what the first renameMounted would take its time for. @throws SystemCallError without CAP_SYS_ADMIN and CAP_SYS_CHROOT */
export function prepareRenameMounted(): void {
  nowhere ??= makeNowhere();
}

interface Nowhere {
  readonly namespace: number;
  readonly goHome: () => void;
}
let nowhere: Nowhere | undefined;

/** A mount namespace with nothing in it but the root file system, that only a descriptor keeps. */
function makeNowhere(): Nowhere {
  const home = openSync('/proc/self/ns/mnt', 'r');
  const [root, cwd] = ['/', '.'].map((path) => openSync(path, O_PATH | O_DIRECTORY)) as [number, number];
  const goHome = (): void => {
    try {
      check(libc.setns(home, CLONE_NEWNS), 'setns');
      // setns(2) leads to the namespace's root: not what this process had, where that is another.
      check(libc.fchdir(root), 'fchdir');
      check(libc.chroot('.'), 'chroot');
      check(libc.fchdir(cwd), 'fchdir');
    } catch (error) {
      abort(`this process cannot come back to its own mount namespace: ${(error as Error).message}`);
    }
  };
  check(libc.unshare(CLONE_NEWNS), 'unshare');
  try {
    const all = openSync('/', O_PATH | O_DIRECTORY);
    setMountAttributes(all, { propagation: 'private', recursive: true });
    closeSync(all);
    const namespace = openSync('/proc/thread-self/ns/mnt', 'r');
    // Kept, they would keep the node's disks busy.
    const mounts = parseMountinfo(readFileSync('/proc/thread-self/mountinfo', 'latin1'));
    const top = topMount(mounts, '/')?.id;
    for (const mount of mounts.filter(({ id, parent }) => parent === top && id !== top).reverse()) {
      check(libc.umount2(mountPointBytes(mount), MNT_DETACH | UMOUNT_NOFOLLOW), 'umount2', mount.mountPoint);
    }
    return { namespace, goHome };
  } finally {
    goHome();
  }
}
