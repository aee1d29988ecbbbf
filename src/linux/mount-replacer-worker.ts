import { closeSync, fstatSync, openSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  CLONE_FS,
  CLONE_NEWNS,
  MNT_DETACH,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  UMOUNT_NOFOLLOW,
} from './constants.ts';
import { errnoName, isUnreadableProcess } from './errors.ts';
import { abort } from './exit.ts';
import { check, errno, libc } from './libc.ts';
import {
  canMountBeneath,
  EMPTY_PATH,
  MOVE_MOUNT_BENEATH,
  MS_PRIVATE,
  moveMount,
  OPEN_TREE_CLONE,
  openTree,
  setAttributes,
} from './mount-calls.ts';
import type {
  OpenRequest,
  Replaced,
  ReplaceReply,
  ReplaceRequest,
  ReplaceTarget,
  StackedMount,
} from './mount-replacer.ts';
import { Tucker } from './mount-tuck.ts';

/**
 * The only thread of its process that ever enters other mount namespaces. Between the two setns(2) it makes nothing but the calls bound
 * beforehand, on paths of the container and on descriptors opened at home: an import, a child process or Node's own file calls there
 * would find the container's files and take them for the host's.
 */
const { EINVAL, ESTALE } = constants.errno;
const O_PATH_NOFOLLOW_CLOEXEC = O_PATH | O_NOFOLLOW | O_CLOEXEC;
/** AT_STATX_DONT_SYNC, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW. */
const STATX_FLAGS = 0x4000 | 0x800 | 0x100 | AT_EMPTY_PATH;
/** Linux 5.8; where it lies in struct statx. */
const STATX_MNT_ID = 0x1000;
const STX_MNT_ID = 0x90;
const ATTACH_TRIES = 3;

const home = openSync('/proc/self/ns/mnt', 'r');
const statxBuffer = Buffer.alloc(256);
// Root and working directory are shared among threads until then, and setns(CLONE_NEWNS) refuses to change them for others.
check(libc.unshare(CLONE_FS), 'unshare');
const tucker = canMountBeneath() ? undefined : new Tucker(home);

const { isAbandoned } = workerData as { isAbandoned: Int32Array };

parentPort?.on('message', (request: ReplaceRequest | OpenRequest) => {
  // Another has done it by now, and the descriptors may be of other files.
  if (isGivenUp()) return;
  if (request.type === 'open') parentPort?.postMessage({ id: request.id, descriptors: request.paths.map(openPath) });
  else parentPort?.postMessage(replaceAll(request));
});

const isGivenUp = (): boolean => Atomics.load(isAbandoned, 0) === 1;

/** A descriptor that only names the file, or the negative errno. */
function openPath(path: string): number {
  const fd = libc.open(Buffer.from(`${path}\0`), O_PATH_NOFOLLOW_CLOEXEC);
  return fd < 0 ? -errno() : fd;
}

function replaceAll({ id, pid, inode, targets }: ReplaceRequest): ReplaceReply {
  let namespace: number;
  try {
    namespace = openSync(`/proc/${pid}/ns/mnt`, 'r');
  } catch (error) {
    if (isUnreadableProcess(error)) return { id, results: undefined };
    const failure = { syscall: 'open', errno: -((error as NodeJS.ErrnoException).errno ?? -EINVAL) };
    return { id, results: targets.map(() => ({ attached: false, detached: 0, locked: [], failure })) };
  }
  // The process may have ended since, and its number be another's.
  if (fstatSync(namespace).ino !== inode) {
    closeSync(namespace);
    return { id, results: undefined };
  }
  const tuck = tuckerFor(pid, namespace);
  const trees = targets.map(prepare);
  const cover = Cover.of(targets);
  const results: Replaced[] = [];
  if (libc.setns(namespace, CLONE_NEWNS) < 0) {
    const failure = { syscall: 'setns', errno: errno() };
    for (const _ of targets) results.push({ attached: false, detached: 0, locked: [], failure });
  } else {
    for (const [i, target] of targets.entries()) {
      // Whoever asked for it has been told that it hangs, and another does it by now.
      if (isGivenUp()) break;
      results.push(replace(target, trees[i] as Tree, cover, tuck));
    }
    if (libc.setns(home, CLONE_NEWNS) < 0)
      abort(`a thread cannot come back to its own mount namespace: ${errnoName(errno())}`);
  }
  for (const tree of [...trees, cover?.tree]) if (typeof tree === 'number') libc.close(tree);
  closeSync(namespace);
  return { id, results };
}

/** Mounts a tree beneath what is on top, and unmounts that. @returns undefined where nothing has been done */
type Tuck = (
  tree: number,
  target: ReplaceTarget,
  unmount: () => Failure | undefined,
) => { readonly unmounted: Failure | undefined } | undefined;

/** At home. Undefined where the kernel can do without, or where it cannot be done. */
function tuckerFor(pid: number, namespace: number): Tuck | undefined {
  try {
    if (!tucker || readlinkSync(`/proc/${pid}/ns/user`) !== readlinkSync('/proc/self/ns/user')) return undefined;
    tucker.prepare();
  } catch {
    // Then the old one goes before the new one comes.
    return undefined;
  }
  return (tree, { path, parent }, unmount) => {
    if (!parent || mountIdAt(AT_FDCWD, parent.path) !== parent.id) return undefined;
    return tucker.tuck(tree, path, parent, namespace, unmount);
  };
}

interface Failure {
  readonly syscall: string;
  readonly errno: number;
}
/** A detached copy of the live file, or why there is none; undefined where none is wanted. */
type Tree = number | Failure | undefined;

/** At home, where the live file is mounted. Touches no server: the descriptor has been looked up before. */
function prepare({ source, set, clear }: ReplaceTarget): Tree {
  if (source === undefined) return undefined;
  const tree = openTree(source, EMPTY_PATH, OPEN_TREE_CLONE | AT_EMPTY_PATH | O_CLOEXEC);
  if (tree < 0) return { syscall: 'open_tree', errno: errno() };
  if (setAttributes(tree, EMPTY_PATH, AT_EMPTY_PATH, [BigInt(set), BigInt(clear), MS_PRIVATE])) return tree;
  const failure = { syscall: 'mount_setattr', errno: errno() };
  libc.close(tree);
  return failure;
}

/** In the container's namespace. */
function replace(target: ReplaceTarget, tree: Tree, cover: Cover | undefined, tuck: Tuck | undefined): Replaced {
  const result = { attached: false, detached: 0, locked: [] as number[] };
  if (typeof tree === 'object') return { ...result, failure: tree };
  const stack = [...target.stack];
  const top = () => stack.at(-1);
  /** undefined: it is gone. */
  const detachTop = (): Failure | undefined => {
    const id = top()?.id as number;
    const failure = detach(target.path, id);
    if (failure?.errno === EINVAL) result.locked.push(id);
    if (failure) return failure;
    stack.pop();
    result.detached++;
    return undefined;
  };
  const finish = (failure?: Failure): Replaced => (failure ? { ...result, failure } : result);

  const keep = tree === undefined ? 0 : 1;
  let failure: Failure | undefined;
  // A live one that dead ones lie beneath has to go too, to get at them.
  const buried = top()?.isLive && stack.length > 1;
  while (stack.length > keep && (buried || !top()?.isLive) && !failure) failure = detachTop();
  if (tree === undefined) return finish(failure);
  if (stack.length === 1 && top()?.isLive) return finish(failure);
  if (failure && failure.errno !== EINVAL) return finish(failure);
  const last = top();
  // Where nothing of what is there may go, it comes on top.
  if (!failure && last) {
    if (mountIdAt(AT_FDCWD, target.path) !== last.id) return finish({ syscall: 'statx', errno: ESTALE });
    if (moveMount(tree, target.path, MOVE_MOUNT_BENEATH)) {
      result.attached = true;
      return finish(cover?.hides(target, last) ? undefined : detachTop());
    }
    // Either this kernel is older than 6.5, or what is there is locked: the next call tells.
    if (errno() !== EINVAL) return finish({ syscall: 'move_mount', errno: errno() });
    const tucked = tuck?.(tree, target, detachTop);
    if (tucked) {
      result.attached = true;
      return finish(tucked.unmounted);
    }
    failure = detachTop();
    if (failure && failure.errno !== EINVAL) return finish(failure);
  }
  // What was there has gone: without a mount of ours, nothing would tell that one belongs here.
  for (let tries = 0; tries < ATTACH_TRIES && !result.attached; tries++) result.attached = moveMount(tree, target.path);
  return finish(result.attached ? undefined : { syscall: 'move_mount', errno: errno() });
}

/**
 * How all files of a container are put right before any dead one is unmounted: umount2(2) waits until all processors have passed a quiet
 * state (namespace_unlock in fs/namespace.c), for 60 µs and on a busy node for a millisecond, and moving a mount takes 5 µs. So the first
 * path gets the live file twice, beneath the dead one and on top of it, and what is taken off the other paths goes beneath the one on
 * top. The next visit finds that stack and unmounts it.
 */
class Cover {
  readonly #target: ReplaceTarget;
  readonly tree: Tree;
  #isLaid = false;

  private constructor(target: ReplaceTarget) {
    this.#target = target;
    this.tree = prepare(target);
  }

  /** At home. @returns undefined where it is not worth it */
  static of(targets: readonly ReplaceTarget[]): Cover | undefined {
    const [first, second] = targets.filter(({ source, stack }) => {
      return source !== undefined && stack.length === 1 && stack[0]?.isDead;
    });
    return first && second && new Cover(first);
  }

  /** @returns false where that mount is not dead, or not on top at its path, or cannot be moved: then it is where it was */
  hides(target: ReplaceTarget, { id, isDead }: StackedMount): boolean {
    if (!isDead || typeof this.tree !== 'number') return false;
    if (target === this.#target) {
      this.#isLaid = moveMount(this.tree, target.path);
      return this.#isLaid;
    }
    if (!this.#isLaid) return false;
    const fd = libc.open(target.path, O_PATH_NOFOLLOW_CLOEXEC);
    if (fd < 0) return false;
    const isHidden = mountIdAt(fd, EMPTY_PATH) === id && moveMount(fd, this.#target.path, MOVE_MOUNT_BENEATH);
    libc.close(fd);
    return isHidden;
  }
}

/** Detaches what is on top at `path`, if it is that mount and no other. */
function detach(path: Uint8Array, id: number): Failure | undefined {
  if (mountIdAt(AT_FDCWD, path) !== id) return { syscall: 'umount2', errno: ESTALE };
  return libc.umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? { syscall: 'umount2', errno: errno() } : undefined;
}

/** The id of the mount that a lookup of `path` ends on. Its file system's server is asked nothing, for it may hang. */
function mountIdAt(directory: number, path: Uint8Array): number | undefined {
  if (libc.statx(directory, path, STATX_FLAGS, STATX_MNT_ID, statxBuffer) < 0) return undefined;
  return Number(statxBuffer.readBigUInt64LE(STX_MNT_ID));
}
