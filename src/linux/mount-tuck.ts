import { openSync, readFileSync } from 'node:fs';
import { AT_FDCWD, AT_RECURSIVE, CLONE_NEWNS, MNT_DETACH, O_CLOEXEC, UMOUNT_NOFOLLOW } from './constants.ts';
import { errnoName } from './errors.ts';
import { abort } from './exit.ts';
import { check, errno, libc } from './libc.ts';
import { MS_PRIVATE, MS_SHARED, moveMount, OPEN_TREE_CLONE, openTree, setAttributes } from './mount-calls.ts';
import { parseMountinfo, pathBytes } from './mountinfo.ts';

/** The mount that a path lies on; all paths are zero-terminated. */
export interface ParentMount {
  readonly id: number;
  /** Where it is mounted. */
  readonly path: Uint8Array;
  /** The rest of the path, from there. */
  readonly inside: Uint8Array;
}

/** Where the workshop has the peer: a directory that is there in any case. */
const PLACE = Buffer.from('/proc\0');

/**
 * Mounts beneath what is mounted, on kernels that have no MOVE_MOUNT_BENEATH: what propagates to a mount point that is taken is tucked
 * beneath (attach_recursive_mnt in fs/namespace.c, since Linux 4.11). So the mount that the path lies on gets a peer for a moment, in a mount
 * namespace of our own, and the new mount is attached to that. If the process is killed meanwhile, the namespace goes without propagation,
 * and what is tucked already stays.
 *
 * Only for mounts that are private, and in namespaces of our own user namespace: in another, the kernel would lock what propagates there.
 */
export class Tucker {
  readonly #home: number;
  #workshop: number | undefined;

  /** @param home descriptor of the mount namespace that this thread is in */
  constructor(home: number) {
    this.#home = home;
  }

  /** At home. @throws SystemCallError */
  prepare(): void {
    this.#workshop ??= this.#makeWorkshop();
  }

  /**
   * In the namespace `container`, and back there.
   * @param unmount unmounts what is on top
   * @returns what that has returned; undefined where nothing has been done
   */
  tuck<T>(
    tree: number,
    path: Uint8Array,
    parent: ParentMount,
    container: number,
    unmount: () => T,
  ): { readonly unmounted: T } | undefined {
    if (this.#workshop === undefined || !setPropagation(parent.path, MS_SHARED)) return undefined;
    const done = this.#attachToPeer(tree, parent, container) ? { unmounted: unmount() } : undefined;
    if (done) setPropagation(path, MS_PRIVATE);
    // Else what is unmounted in the workshop would go here as well.
    if (!setPropagation(parent.path, MS_PRIVATE)) return done;
    enter(this.#workshop);
    libc.umount2(PLACE, MNT_DETACH | UMOUNT_NOFOLLOW);
    enter(container);
    return done;
  }

  #attachToPeer(tree: number, { path, inside }: ParentMount, container: number): boolean {
    const peer = openTree(AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC);
    if (peer < 0) return false;
    enter(this.#workshop as number);
    const place = Buffer.concat([PLACE.subarray(0, -1), Buffer.from('/'), inside]);
    const isTucked = moveMount(peer, PLACE) && moveMount(tree, place);
    enter(container);
    libc.close(peer);
    return isTucked;
  }

  /** A namespace with nothing mounted but its root, so that it keeps no disk from being unmounted. */
  #makeWorkshop(): number {
    check(libc.unshare(CLONE_NEWNS), 'unshare');
    try {
      check(setPropagation(Buffer.from('/\0'), MS_PRIVATE, AT_RECURSIVE) ? 0 : -1, 'mount_setattr');
      const mounts = parseMountinfo(readFileSync('/proc/thread-self/mountinfo', 'latin1'));
      const workshop = openSync('/proc/thread-self/ns/mnt', 'r');
      const others = mounts.filter(({ mountPoint }) => mountPoint !== '/');
      const ids = new Set(others.map(({ id }) => id));
      for (const { parent, rawMountPoint } of others) {
        // It goes with its parent.
        if (ids.has(parent)) continue;
        const path = Buffer.concat([pathBytes(rawMountPoint), Buffer.of(0)]);
        while (libc.umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) === 0);
      }
      return workshop;
    } finally {
      enter(this.#home);
    }
  }
}

function enter(namespace: number): void {
  if (libc.setns(namespace, CLONE_NEWNS) < 0)
    abort(`a thread cannot change its mount namespace: ${errnoName(errno())}`);
}

const setPropagation = (path: Uint8Array, type: bigint, flags = 0): boolean =>
  setAttributes(AT_FDCWD, path, flags, [0n, 0n, type]);
