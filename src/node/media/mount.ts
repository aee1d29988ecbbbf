import { chownSync, closeSync, existsSync, mkdirSync, openSync, readlinkSync, unlinkSync } from 'node:fs';
import type { BlockDevice } from '../../linux/block.ts';
import { type ChildResult, runChild } from '../../linux/child.ts';
import { O_NOFOLLOW, O_PATH } from '../../linux/constants.ts';
import { deviceNumber } from '../../linux/device-number.ts';
import { errorCode } from '../../linux/errors.ts';
import { KernelLog, linesAbout } from '../../linux/kernel-log.ts';
import {
  attachMount,
  cloneMount,
  type DetachedMount,
  detachMount,
  makeNode,
  openBeneath,
  setMountAttributes,
} from '../../linux/mounts.ts';
import type { SpareChild } from '../../linux/spare-child.ts';
import { type Owner, ownerNamespace } from '../../linux/user-namespace.ts';
import { nameCandidates } from '../block/names.ts';
import { type Finding, finding } from '../reasons.ts';
import { ensureDirectory, type RunDir } from '../run-dir/run-dir.ts';
import { type Mounted, type MountRecord, mediaDirectory, type Tree, writeRecord } from './actual.ts';
import type { DesiredMount } from './desired.ts';
import { hiddenName, removeDirectories, renameDirectory } from './directories.ts';
import { explainFailure } from './mount-failure.ts';

/** ms. Replaying the journal of a large disk takes time; other disks do not wait for it. */
const MOUNT_DEADLINE = 90_000;

/** The outcome of a step; `stuck`: its child hangs, and the disk is left alone until that ends. */
export interface Attempt {
  readonly finding: Finding | undefined;
  readonly stuck?: Promise<void> | undefined;
}

export interface MountTools {
  readonly runDir: RunDir;
  /** What mount(8) runs in. */
  readonly mount: SpareChild;
  /** Other disks of the same file system, as paths. */
  readonly peers: readonly string[];
}
const DONE: Attempt = { finding: undefined };

/**
 * Mounts the disk on a hidden directory, then renames that.
 * @param reserve claims a name in the class: false where another disk has it, or is about to
 */
export async function mountDisk(
  tools: MountTools,
  device: BlockDevice,
  desired: DesiredMount,
  reserve: (directory: string) => boolean,
): Promise<Attempt & { directory?: string }> {
  const { runDir } = tools;
  const { className, fileSystem, options } = desired;
  const hidden = hiddenName(device.name);
  const failed = (error: unknown): Attempt => ({
    finding: finding('run_dir_failed', { path: runDir.path, detail: (error as Error).message }),
  });
  let directory: string;
  let target: number;
  try {
    directory = await chooseName(runDir, device, desired, reserve);
    const { name, device: number, diskSequence: sequence } = device;
    const since = new Date().toISOString();
    const record = { name, device: number, sequence, fileSystem, options, owner: desired.owner, since };
    target = await makeTarget(runDir, 'media', className, record);
  } catch (error) {
    return failed(error);
  }
  try {
    const attempt = await runMount(tools, device, desired, target);
    if (attempt.finding) await removeDirectories(runDir, [mediaDirectory('media', className, hidden)]);
    else {
      if (desired.owner) await showOwner(runDir, mediaDirectory('media', className, hidden), desired.owner, target);
      renameDirectory(runDir, 'media', className, hidden, directory);
    }
    return { ...attempt, directory };
  } catch (error) {
    return failed(error);
  } finally {
    closeSync(target);
  }
}

/**
 * Puts an idmapped mount of the file system in place of the one that mount(8) has made. Where the file system or the node cannot, the disk
 * stays mounted as it is, and the status says so.
 */
async function showOwner(runDir: RunDir, path: string, owner: Owner, target: number): Promise<void> {
  const mountPoint = `${runDir.path}/${path}`;
  let mapped: DetachedMount | undefined;
  try {
    const idmap = await ownerNamespace(owner);
    mapped = cloneMount(mountPoint);
    setMountAttributes(mapped, { idmap, propagation: 'private' });
  } catch {
    if (mapped !== undefined) closeSync(mapped);
    return;
  }
  try {
    // The file system itself stays: the other mount has it.
    detachMount(mountPoint);
    attachMount(mapped, target);
  } finally {
    closeSync(mapped);
  }
}

/** Shows the same file system once more, read-only, below `media-ro`. */
export async function makeTwin(runDir: RunDir, { className, directory, record }: Mounted): Promise<Attempt> {
  try {
    await removeDirectories(runDir, [mediaDirectory('media-ro', className, directory)]);
    const target = await makeTarget(runDir, 'media-ro', className, record);
    try {
      attachTwin(`${runDir.path}/${mediaDirectory('media', className, directory)}`, target);
      renameDirectory(runDir, 'media-ro', className, hiddenName(record.name), directory);
      return DONE;
    } finally {
      closeSync(target);
    }
  } catch (error) {
    return { finding: finding('twin_failed', { detail: (error as Error).message }) };
  }
}

function attachTwin(path: string, target: number): void {
  const twin = cloneMount(path);
  try {
    setMountAttributes(twin, { set: ['readOnly'], propagation: 'private' });
    attachMount(twin, target);
  } finally {
    closeSync(twin);
  }
}

/** Makes and opens a hidden directory, with the record of what will be mounted there. */
async function makeTarget(runDir: RunDir, tree: Tree, className: string, record: MountRecord): Promise<number> {
  const hidden = hiddenName(record.name);
  const path = mediaDirectory(tree, className, hidden);
  ensureDirectory(runDir, `${tree}/${className}`);
  await removeDirectories(runDir, [path]);
  mkdirSync(`${runDir.work}/${path}`, 0o755);
  writeRecord(runDir, tree, className, hidden, record);
  return openBeneath(runDir.published, path);
}

/** The first candidate that is free: not in use, and not occupied by something that is no empty directory. */
async function chooseName(
  runDir: RunDir,
  device: BlockDevice,
  { className, fileSystem, nameBy }: DesiredMount,
  reserve: (directory: string) => boolean,
): Promise<string> {
  const { label, uuid } = fileSystem;
  for (const name of nameCandidates({ label, uuid, devname: device.name }, nameBy)) {
    if (!reserve(name)) continue;
    const path = mediaDirectory('media', className, name);
    await removeDirectories(runDir, [path]);
    if (!existsSync(`${runDir.work}/${path}`)) return name;
  }
  throw new Error(`all names for ${device.name} in ${className} are taken`);
}

/** The kernel's drivers for a file system, then the FUSE programs. */
const DRIVERS: Readonly<Record<string, { kernel: string; fuse: readonly string[] }>> = {
  ntfs: { kernel: 'ntfs3', fuse: ['ntfs-3g'] },
  exfat: { kernel: 'exfat', fuse: ['mount.exfat-fuse'] },
};

async function runMount(
  { runDir, mount, peers }: MountTools,
  device: BlockDevice,
  desired: DesiredMount,
  target: number,
): Promise<Attempt> {
  const { type } = desired.fileSystem;
  const drivers = Object.hasOwn(DRIVERS, type) ? DRIVERS[type] : undefined;
  const path = devicePath(device);
  // In a container /dev may lack what was plugged in since; then the node is again our own.
  const node = deviceNumber(path) === device.device ? undefined : openOwnNode(runDir, device, 0);
  const log = new KernelLog();
  const outcome = (result: ChildResult): Attempt => attempt(result, type, () => linesAbout(device.name, log.read()));
  try {
    // These paths lead straight to the open descriptors, without another lookup, while this process lives.
    const opened = (fd: number): string => `/proc/${readlinkSync('/proc/self')}/fd/${fd}`;
    const options = [...desired.options, ...peers.map((path) => `device=${path}`)].join();
    const words = [node === undefined ? path : opened(node), opened(target)];
    const args = ['-n', '-c', '-i', '-t', drivers?.kernel ?? type, '-o', options, ...words];
    const result = await mount.run('mount', args, MOUNT_DEADLINE);
    if (!/unknown filesystem type/.test(result.stderr)) return outcome(result);
    for (const helper of drivers?.fuse ?? []) {
      try {
        // These look the target up by its name: the working directory cannot be another.
        const source = node === undefined ? path : '/proc/self/fd/3';
        const descriptors = node === undefined ? [] : [node];
        const cwd = opened(target);
        return outcome(
          await runChild(helper, ['-o', options, source, '.'], { deadline: MOUNT_DEADLINE, cwd, descriptors }),
        );
      } catch (error) {
        if (errorCode(error) !== 'ENOENT') throw error;
      }
    }
    const helpers = drivers?.fuse.join(' or ') ?? 'one that the image has';
    return { finding: finding('driver_missing', { type, helpers }) };
  } catch (error) {
    return { finding: finding('mount_failed', { detail: (error as Error).message }) };
  } finally {
    if (node !== undefined) closeSync(node);
    log.close();
  }
}

/** @param said what the kernel has said about the disk meanwhile */
function attempt(
  { command, code, stderr, timedOut, stuck }: ChildResult,
  type: string,
  said: () => readonly string[],
): Attempt {
  if (timedOut) {
    return { finding: finding('device_hangs', { command, seconds: String(MOUNT_DEADLINE / 1000) }), stuck };
  }
  if (code === 0) return DONE;
  if (/already mounted or .* busy/.test(stderr)) return { finding: finding('held_exclusively', {}) };
  return { finding: finding('mount_failed', { detail: explainFailure(command, code, stderr, type, said()) }) };
}

/** sysfs cannot have a slash in a name, and shows `!` in its place. */
export const devicePath = ({ name }: BlockDevice): string => `/dev/${name.replaceAll('!', '/')}`;

let nodes = 0;

/** A descriptor on a device node that has no name any more, which only `uid` (and root) can open. */
function openOwnNode(runDir: RunDir, { device }: BlockDevice, uid: number): number {
  const [major, minor] = device.split(':').map(Number) as [number, number];
  const path = `${runDir.work}/.node-${process.pid}-${nodes++}`;
  makeNode(path, 'block', major, minor);
  try {
    chownSync(path, uid, uid);
    return openSync(path, O_PATH | O_NOFOLLOW);
  } finally {
    unlinkSync(path);
  }
}
