import { chownSync, closeSync, openSync, readlinkSync, unlinkSync } from 'node:fs';
import type { BlockDevice } from '../../linux/block.ts';
import { type ChildResult, runChild } from '../../linux/child.ts';
import { O_NOFOLLOW, O_PATH } from '../../linux/constants.ts';
import { deviceNumber } from '../../linux/device-number.ts';
import { errorCode } from '../../linux/errors.ts';
import { KernelLog, linesAbout } from '../../linux/kernel-log.ts';
import type { MountChild } from '../../linux/mount-child.ts';
import { makeNode } from '../../linux/mounts.ts';
import { contextOption } from '../../linux/selinux.ts';
import { patient } from '../../linux/slowness.ts';
import { type Finding, finding } from '../reasons.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import type { DesiredMount } from './desired.ts';
import { type Dirt, dirtOf } from './dirt.ts';
import { explainFailure } from './mount-failure.ts';

/** ms. Replaying the journal of a large disk takes time; other disks do not wait for it. */
const MOUNT_DEADLINE = patient(90_000);

/** The outcome of a step; `stuck`: its child hangs, and the disk is left alone until that ends. */
export interface Attempt {
  readonly finding: Finding | undefined;
  readonly stuck?: Promise<void> | undefined;
}

export interface MountTools {
  readonly runDir: RunDir;
  readonly mount: MountChild;
  /** Other disks of the same file system, as paths. */
  readonly peers: readonly string[];
}

/** The kernel's drivers for a file system, then the FUSE programs. */
const DRIVERS: Readonly<Record<string, { kernel: string; fuse: readonly string[] }>> = {
  // As ext4 they have idmapped mounts; as ext2 and ext3, which the same driver serves, they have none (fs/ext4/super.c).
  ext2: { kernel: 'ext4', fuse: [] },
  ext3: { kernel: 'ext4', fuse: [] },
  ntfs: { kernel: 'ntfs3', fuse: ['ntfs-3g'] },
  exfat: { kernel: 'exfat', fuse: ['mount.exfat-fuse'] },
};

/** How a disk was mounted; `dirty` where its last user did not leave it in order. */
export interface MountAttempt extends Attempt {
  readonly dirty?: Dirt | undefined;
}

/**
 * Mounts a disk on the open directory `target`. A dirty one that cannot be written is mounted read-only, if it may (`readOnlyOptions`), or not at
 * all.
 */
export async function runMount(
  tools: MountTools,
  device: BlockDevice,
  desired: DesiredMount,
  target: number,
): Promise<MountAttempt> {
  const path = devicePath(device);
  // In a container /dev may lack what was plugged in since; then the node is again our own.
  const node = deviceNumber(path) === device.device ? undefined : openOwnNode(tools.runDir, device, 0);
  const log = new KernelLog();
  try {
    const { type } = desired.fileSystem;
    const run = async (options: readonly string[]): Promise<MountAttempt> => {
      const result = await runDriver(tools, type, options, { path, node, target });
      return 'finding' in result
        ? result
        : attempt(result, type, !options.includes('ro'), linesAbout(device.name, log.read()));
    };
    const first = await run(desired.options);
    const { readOnlyOptions } = desired;
    if (!first.dirty?.isUnwritable || readOnlyOptions === undefined) return first;
    // ntfs-3g has mounted a hibernated one read-only by itself.
    if (!first.finding) return first;
    const second = await run(readOnlyOptions);
    if (second.stuck) return second;
    return second.finding ? first : { ...second, dirty: first.dirty };
  } catch (error) {
    return { finding: finding('mount_failed', { detail: (error as Error).message }) };
  } finally {
    if (node !== undefined) closeSync(node);
    log.close();
  }
}

interface Where {
  readonly path: string;
  /** A descriptor on the device, where the path does not lead to it. */
  readonly node: number | undefined;
  readonly target: number;
}

async function runDriver(
  { runDir, mount, peers }: MountTools,
  type: string,
  given: readonly string[],
  { path, node, target }: Where,
): Promise<ChildResult | Attempt> {
  const drivers = Object.hasOwn(DRIVERS, type) ? DRIVERS[type] : undefined;
  // These paths lead straight to the open descriptors, without another lookup, while this process lives.
  const opened = (fd: number): string => `/proc/${readlinkSync('/proc/self')}/fd/${fd}`;
  const label = runDir.context === undefined ? [] : [contextOption(runDir.context)];
  const options = [...given, ...label, ...peers.map((peer) => `device=${peer}`)];
  const result = await mount.run(
    {
      source: node === undefined ? path : opened(node),
      target: opened(target),
      type: drivers?.kernel ?? type,
      options,
    },
    MOUNT_DEADLINE,
  );
  if (!/unknown filesystem type/.test(result.stderr)) return result;
  for (const helper of drivers?.fuse ?? []) {
    try {
      // These look the target up by its name: the working directory cannot be another.
      const source = node === undefined ? path : '/proc/self/fd/3';
      const descriptors = node === undefined ? [] : [node];
      const cwd = opened(target);
      return await runChild(helper, ['-o', options.join(), source, '.'], {
        deadline: MOUNT_DEADLINE,
        cwd,
        descriptors,
      });
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
  const helpers = drivers?.fuse.join(' or ') || 'one that the image has';
  return { finding: finding('driver_missing', { type, helpers }) };
}

/** @param said what the kernel has said about the disk meanwhile */
function attempt(
  { command, code, stderr, timedOut, stuck }: ChildResult,
  type: string,
  isToBeWritten: boolean,
  said: readonly string[],
): MountAttempt {
  if (timedOut) {
    return { finding: finding('device_hangs', { command, seconds: String(MOUNT_DEADLINE / 1000) }), stuck };
  }
  const found = dirtOf(type, stderr, said);
  const dirty = found && { ...found, isUnwritable: found.isUnwritable && isToBeWritten };
  if (code === 0) return { finding: undefined, dirty };
  if (/already mounted or .* busy/.test(stderr)) return { finding: finding('held_exclusively', {}) };
  return { finding: finding('mount_failed', { detail: explainFailure(command, code, stderr, type, said) }), dirty };
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
