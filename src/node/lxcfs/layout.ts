import { readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { LXCFS_VIEWS, type LxcfsView } from '../../contract/wants.ts';
import { isErrno } from '../../linux/errors.ts';
import { exists } from '../../linux/exists.ts';
import { makeDirectories } from '../../linux/make-directories.ts';
import { type Mount, readMountinfo } from '../../linux/mountinfo.ts';
import { detachMount } from '../../linux/mounts.ts';
import { getAttribute, setAttribute } from '../../linux/xattr.ts';
import { ensureDirectory, namesIn, type RunDir } from '../run-dir/run-dir.ts';
import { FS_TYPE, SOURCE } from './attach-plan.ts';

/**
 * Where instances live: `.lxcfs/<id>` with `mnt` (where it is mounted), `pid` and `log`. `<run-dir>/lxcfs` is a symbolic link to
 * the `mnt` of the published one, so that publishing another is one rename(2), on every kernel, for everyone. Where nothing is mounted
 * the link leads to an empty directory that pods' runtimes can read only: they fail instead of making what is missing.
 */
const INSTANCES = '.lxcfs';
/** Where the node's own files lie ready, laid out as an instance's. */
export const NODE_FILES = `${INSTANCES}/node`;
/** Where those are made. */
export const STAGE = `${INSTANCES}/stage`;
const PUBLISHED = 'lxcfs';
const RECORD = 'trusted.hotmount.lxcfs';

/** What must be known of a running instance and no table tells: an extended attribute of its directory. */
export interface InstanceRecord {
  readonly pid: number;
  /** Of the process, in clock ticks since boot: with the number, it names the process for good. */
  readonly startTime: string;
  readonly version: string;
  /** Of the program and its libraries when it was started. */
  readonly fingerprint: string;
  /** What it was started with, its directory aside; and by whom: processes of another container end with that container. */
  readonly setup: string;
  /** ISO 8601. */
  readonly since: string;
}

/** What everyone sees at this place of an instance's: where it is mounted, unless `name` says otherwise. */
export const instancePath = ({ path }: RunDir, id: string, name = 'mnt'): string =>
  `${path}/${INSTANCES}/${id}/${name}`;
/** The same place, writable, for this process only. */
export const instanceWork = ({ work }: RunDir, id: string, name: string): string =>
  `${work}/${INSTANCES}/${id}/${name}`;
/** What the one supervisor of a run dir has locked. */
export const lockPath = (runDir: RunDir): string => `${runDir.work}/${INSTANCES}`;

/** All that have a directory, whether or not they run. */
export const instanceIds = (runDir: RunDir): string[] =>
  namesIn(runDir, INSTANCES).filter((name) => /^\d+$/.test(name));

/** Makes what everything here lies in. @throws as mkdir(2) does */
export function prepareDirectories(runDir: RunDir): void {
  ensureDirectory(runDir, INSTANCES);
}

/** A directory for a new instance, with a number that none had since the run dir was made. */
export function makeInstanceDirectory(runDir: RunDir): string {
  const counter = 'trusted.hotmount.lxcfs-instances';
  const all = `${runDir.work}/${INSTANCES}`;
  const number = Number(getAttribute(all, counter) ?? 0) + 1;
  setAttribute(all, counter, String(number));
  const id = String(number);
  makeDirectories(instanceWork(runDir, id, 'mnt'));
  return id;
}

/** @throws SystemCallError */
export function writeRecord(runDir: RunDir, id: string, record: InstanceRecord): void {
  setAttribute(`${runDir.work}/${INSTANCES}/${id}`, RECORD, JSON.stringify(record));
}

/** Undefined where none was written: it ended while it was being started. */
export function readRecord(runDir: RunDir, id: string): InstanceRecord | undefined {
  const text = getAttribute(`${runDir.work}/${INSTANCES}/${id}`, RECORD);
  return text === undefined ? undefined : (JSON.parse(text) as InstanceRecord);
}

/** The file system (`major:minor`) mounted for an instance. Goes by the mount table: nothing is asked of the instance. */
export function mountedDevice(
  runDir: RunDir,
  id: string,
  mounts: readonly Mount[] = readMountinfo(),
): string | undefined {
  const path = instancePath(runDir, id);
  return mounts.findLast((mount) => mount.mountPoint === path && mount.fsType === FS_TYPE && mount.source === SOURCE)
    ?.device;
}

/** Unmounts what an instance left, and removes its directory. @throws SystemCallError */
export function removeInstance(runDir: RunDir, id: string): void {
  while (mountedDevice(runDir, id) !== undefined) detachMount(instancePath(runDir, id));
  rmSync(`${runDir.work}/${INSTANCES}/${id}`, { recursive: true, force: true });
}

/** The id of the published instance; it may be dead, or gone. */
export function publishedId({ work }: RunDir): string | undefined {
  try {
    return new RegExp(`^${INSTANCES}/(\\d+)/`).exec(readlinkSync(`${work}/${PUBLISHED}`))?.[1];
  } catch (error) {
    // EINVAL: it is no link.
    if (!isErrno(error, 'ENOENT', 'EINVAL')) throw error;
    return undefined;
  }
}

/**
 * From here on, who looks up `<run-dir>/lxcfs` ends up with this instance. Where it does not serve all views that is a directory of
 * links, to its files and to the node's own: else pods that ask for a view that it has not got would wait for ever.
 * @throws as symlink(2) does, ENOSPC where the run dir is full: then the one before stays published
 */
export function publish(runDir: RunDir, id: string, notServed: readonly LxcfsView[]): void {
  const next = `${runDir.work}/.${PUBLISHED}.next`;
  rmSync(next, { force: true });
  symlinkSync(`${INSTANCES}/${id}/${notServed.length > 0 ? linkViews(runDir, id, notServed) : 'mnt'}`, next);
  renameSync(next, `${runDir.work}/${PUBLISHED}`);
}

/** The name tells what is in it: one that is there is right. */
function linkViews(runDir: RunDir, id: string, notServed: readonly LxcfsView[]): string {
  const name = ['views-without', ...notServed].join('-');
  const directory = instanceWork(runDir, id, name);
  if (exists(directory)) return name;
  const fresh = `${directory}.new`;
  rmSync(fresh, { recursive: true, force: true });
  for (const [view, file] of Object.entries(LXCFS_VIEWS)) {
    const link = `${fresh}${file}`;
    const target = (notServed as readonly string[]).includes(view) ? NODE_FILES : `${INSTANCES}/${id}/mnt`;
    makeDirectories(dirname(link));
    symlinkSync(relative(dirname(link), `${runDir.work}/${target}${file}`), link);
  }
  renameSync(fresh, directory);
  return name;
}
