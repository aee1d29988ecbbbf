import { closeSync, existsSync, openSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { runDirProblem } from '../../contract/paths.ts';
import { O_DIRECTORY, O_PATH } from '../../linux/constants.ts';
import { splitNumber } from '../../linux/device-number.ts';
import { errorCode } from '../../linux/errors.ts';
import { lockWithin } from '../../linux/file-lock.ts';
import { makeDirectories } from '../../linux/make-directories.ts';
import { type Mount, readMountinfo, topMount } from '../../linux/mountinfo.ts';
import { attachMount, cloneMount, createFileSystem, requireMountApi, setMountAttributes } from '../../linux/mounts.ts';
import { selinuxContext } from '../../linux/selinux.ts';
import { patient } from '../../linux/slowness.ts';

/** What mountinfo shows as the source of the run dir: how a later daemon knows it. */
const SOURCE = 'hotmount';
/** It holds directories, nodes and names only. The limits bound the memory that a storm of devices can take. */
const TMPFS = { mode: '0755', size: '8m', nr_inodes: '32k' };

/**
 * The tree that pods see, one tmpfs under two mounts. The *published* one is shared and read-only: what is mounted below it reaches
 * the pods, and no pod can plant anything in the way. The *working* one is writable and attached nowhere: only this process reaches
 * it, and it is gone with the process.
 */
export interface RunDir {
  readonly path: string;
  /** `major:minor` of its file system, by which mount tables name it. */
  readonly device: string;
  /** `O_PATH` descriptor of the published mount. */
  readonly published: number;
  /** The same tree, writable, as a path that only this process can use. */
  readonly work: string;
  /** The SELinux context of all that containers are to open. */
  readonly context: string | undefined;
  close(): void;
}

/** ms that another process may take to mount it. */
const MOUNT_DEADLINE = patient(10_000);

/** @param selinux a context, `auto` or `off`: see selinux.ts @throws Error that says what to do */
export function openRunDir(path: string, selinux = 'auto'): RunDir {
  requireMountApi();
  const context = selinuxContext(selinux);
  const real = makeMountPoint(path);
  if (!isOwn(real)) mountRunDir(real, context);
  const published = openSync(real, O_PATH | O_DIRECTORY);
  setMountAttributes(published, { set: ['readOnly'], propagation: 'shared' });
  return handle(real, published, context);
}

/** @returns the directory without links in its path */
function makeMountPoint(path: string): string {
  refuse(resolve(path), path);
  try {
    makeDirectories(path);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`the run dir ${path} cannot be made (${message}): have --run-dir name another directory`, {
      cause: error,
    });
  }
  const real = realpathSync(path);
  refuse(real, path);
  return real;
}

function refuse(real: string, path: string): void {
  const problem = runDirProblem(real);
  if (problem !== undefined) throw new Error(`the run dir ${path} ${problem}: have --run-dir name another directory`);
}

/**
 * When a node boots, the daemon and the supervisor of lxcfs start at once, each in a container. The lock is on the directory beneath, which
 * both have from the node: the second one finds the run dir mounted.
 */
function mountRunDir(path: string, context: string | undefined): void {
  const unlock = lockWithin(path, MOUNT_DEADLINE);
  try {
    if (isOwn(path)) return;
    // Read-only and no other flag: runc 1.1 fails to bind it read-only into a container with a user namespace, where other flags would
    // have to be kept and are not. And never nodev: the nodes of device classes are here.
    const fresh = createFileSystem('tmpfs', SOURCE, { ...TMPFS, ...(context && { context }) }, ['readOnly']);
    try {
      setMountAttributes(fresh, { propagation: 'shared' });
      attachMount(fresh, path);
    } finally {
      closeSync(fresh);
    }
  } finally {
    unlock();
  }
}

/** The run dir that a daemon has made, whether or not one is running; undefined where there is none. Changes nothing. */
export function findRunDir(path: string): RunDir | undefined {
  const real = existsSync(path) && realpathSync(path);
  return real && isOwn(real) ? handle(real, openSync(real, O_PATH | O_DIRECTORY), undefined) : undefined;
}

function handle(real: string, published: number, context: string | undefined): RunDir {
  const working = cloneMount(real);
  setMountAttributes(working, { clear: ['readOnly'], propagation: 'private' });
  return {
    path: real,
    device: splitNumber(statSync(real, { bigint: true }).dev),
    published,
    work: `/proc/self/fd/${working}`,
    context,
    close() {
      closeSync(published);
      closeSync(working);
    },
  };
}

function isOwn(path: string): boolean {
  const mounts = readMountinfo();
  if (isRunDir(topMount(mounts, path))) return true;
  if (mounts.some((mount) => mount.mountPoint === path && isRunDir(mount))) {
    throw new Error(
      `something is mounted over the run dir ${path}, and running pods hold what is below: unmount it (umount ${path}), then start again`,
    );
  }
  return false;
}

/** Whether pods that start find it, and what is mounted in it reaches those that run. */
export const isReachable = ({ path, device }: RunDir): boolean => topMount(readMountinfo(), path)?.device === device;

/** Whether this is the published mount of a run dir, whichever daemon made it. */
export const isRunDir = (mount: Mount | undefined): boolean =>
  mount !== undefined && isOfRunDir(mount) && mount.root === '/';

/** Whether it shows some part of a run dir. */
export const isOfRunDir = ({ fsType, source }: Mount): boolean => fsType === 'tmpfs' && source === SOURCE;

/** Makes a directory in the working tree, parents included. Left as it is where it exists. @returns whether it was not there */
export function ensureDirectory(runDir: RunDir, path: string): boolean {
  return makeDirectories(`${runDir.work}/${path}`);
}

/** Names in a directory of the run dir; none where it does not exist. */
export function namesIn(runDir: RunDir, path: string): string[] {
  try {
    return readdirSync(`${runDir.work}/${path}`);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
