import { closeSync, mkdirSync } from 'node:fs';
import type { BlockDevice } from '../../linux/block.ts';
import { exists } from '../../linux/exists.ts';
import {
  attachMount,
  cloneMapped,
  cloneMount,
  detachMount,
  openBeneath,
  setMountAttributes,
} from '../../linux/mounts.ts';
import { NoUserNamespacesError, type Owner, ownerNamespace } from '../../linux/user-namespace.ts';
import { nameCandidates } from '../block/names.ts';
import { finding } from '../reasons.ts';
import { ensureDirectory, type RunDir } from '../run-dir/run-dir.ts';
import { type Mounted, type MountRecord, mediaDirectory, type Tree, type ViewTree, writeRecord } from './actual.ts';
import type { DesiredMount } from './desired.ts';
import { hiddenName, removeDirectories, renameDirectory } from './directories.ts';
import type { Dirt } from './dirt.ts';
import { explainMapFailure, NTFS_ADVICE } from './mount-failure.ts';
import { type Attempt, type MountTools, runMount } from './run-mount.ts';
import { umountPaths } from './unmount.ts';

const DONE: Attempt = { finding: undefined };

/**
 * Mounts the disk on a hidden directory, then renames that.
 * @param reserve claims a name in the class: false if another disk has the name, or is about to
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
  let record: MountRecord;
  try {
    directory = await chooseName(runDir, device, desired, reserve);
    const { name, device: number, diskSequence: sequence } = device;
    const since = new Date().toISOString();
    record = { name, device: number, sequence, fileSystem, options, owner: desired.owner, since };
    target = await makeTarget(runDir, 'media', className, record);
  } catch (error) {
    return failed(error);
  }
  try {
    const { dirty, ...attempt } = await runMount(tools, device, desired, target);
    if (!attempt.finding && dirty?.isUnwritable && !desired.readOnlyOptions) {
      // ntfs-3g has mounted it read-only, which its class does not want.
      detachMount(`${runDir.path}/${mediaDirectory('media', className, hidden)}`);
      await removeDirectories(runDir, [mediaDirectory('media', className, hidden)]);
      return { finding: finding('mount_failed', { detail: NTFS_ADVICE }) };
    }
    if (attempt.finding) {
      await removeDirectories(runDir, [mediaDirectory('media', className, hidden)]);
      return attempt;
    }
    if (dirty) writeRecord(runDir, 'media', className, hidden, asDirty(record, dirty, desired));
    if (desired.owner) {
      const failure = await tryToShowOwner(runDir, mediaDirectory('media', className, hidden), desired.owner, target);
      if (failure) return failure;
    }
    renameDirectory(runDir, 'media', className, hidden, directory);
    return { ...attempt, directory };
  } catch (error) {
    return failed(error);
  } finally {
    closeSync(target);
  }
}

/** What is to be known of a mount of a dirty disk. */
const asDirty = (record: MountRecord, dirty: Dirt, { readOnlyOptions }: DesiredMount): MountRecord => ({
  ...record,
  dirty,
  options: dirty.isUnwritable && readOnlyOptions ? readOnlyOptions : record.options,
});

/** Where that fails, the disk is unmounted: nobody is to find files on it that belong to others than they will at the next try. */
async function tryToShowOwner(
  runDir: RunDir,
  path: string,
  owner: Owner,
  target: number,
): Promise<Attempt | undefined> {
  try {
    await showOwner(`${runDir.path}/${path}`, owner, target);
    return undefined;
  } catch (error) {
    // Where no child can be started either, it is found at its hidden name at the next try, and unmounted then.
    const unmounted = await umountPaths([`${runDir.path}/${path}`], ['-l']).catch(() => undefined);
    if (unmounted && !unmounted.stuck) await removeDirectories(runDir, [path]);
    const { uid, gid } = owner;
    const detail = explainMapFailure(error as Error);
    return { finding: finding('owner_failed', { owner: `${uid}:${gid}`, detail }), stuck: unmounted?.stuck };
  }
}

/**
 * Puts an idmapped mount of the file system in place of the one that has just been made. Where the file system or the node has no such
 * mounts, the disk stays mounted as it is, and the status says so.
 * @throws where it failed for the moment
 */
async function showOwner(mountPoint: string, owner: Owner, target: number): Promise<void> {
  const idmap = await ownerNamespace(owner).catch((error: unknown) => {
    if (error instanceof NoUserNamespacesError) return undefined;
    throw error;
  });
  const mapped = idmap === undefined ? 'cannot be mapped' : cloneMapped(mountPoint, idmap);
  if (typeof mapped === 'string') return;
  try {
    // The file system itself stays, because of the other mount.
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
export async function makeTarget(
  runDir: RunDir,
  tree: Tree | ViewTree,
  className: string,
  record: MountRecord,
): Promise<number> {
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
    if (!exists(`${runDir.work}/${path}`)) return name;
  }
  throw new Error(`all names for ${device.name} in ${className} are taken`);
}
