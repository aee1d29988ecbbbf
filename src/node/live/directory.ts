import { existsSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { LIVE_ANNOTATIONS_DIRECTORY } from '../../contract/volumes.ts';
import { errorCode } from '../../linux/errors.ts';
import { makeDirectories } from '../../linux/make-directories.ts';
import { getAttribute, setAttribute } from '../../linux/xattr.ts';
import type { Account } from '../../policy/index.ts';
import { ensureDirectory, namesIn, type RunDir } from '../run-dir/run-dir.ts';

/** Where the pods have their directories, relative to the run dir. */
export const LIVE = 'live';
export const KINDS = ['media', 'devices'] as const;

/** Whose a live directory is: an attribute of it, for no kernel table tells. */
export interface LiveRecord extends Account {
  /** `namespace/name`. */
  readonly pod: string;
  /** It was made in place of one that was lost, which containers may still have. */
  readonly isReplacement?: boolean;
}

/** `trusted`: only root on the node can write it, or read it. */
const RECORD = 'trusted.hotmount.live';
const STATUS = 'status';

/** What is in each, from the beginning. The first is the mount point of the pod's annotations: no container starts without it. */
const INSIDE = [LIVE_ANNOTATIONS_DIRECTORY, ...KINDS];

/** Makes a pod's directory. One that is there stays, and is made whole. @throws Error of the system */
export function makeLiveDirectory(runDir: RunDir, podUid: string, record: LiveRecord): void {
  ensureDirectory(runDir, `${LIVE}/${podUid}`);
  fillLiveDirectory(runDir, podUid, record);
}

/**
 * Makes the directory whole whose record was read. One that has been removed since is made as a replacement.
 * @returns the record that it has now
 * @throws Error of the system
 */
export function mendLiveDirectory(runDir: RunDir, podUid: string, record: LiveRecord): LiveRecord {
  const isReplacement = ensureDirectory(runDir, `${LIVE}/${podUid}`) || record.isReplacement === true;
  const mended = { ...record, isReplacement };
  fillLiveDirectory(runDir, podUid, mended);
  return mended;
}

function fillLiveDirectory(runDir: RunDir, podUid: string, record: LiveRecord): void {
  setAttribute(workPath(runDir, podUid), RECORD, JSON.stringify(record));
  for (const name of INSIDE) ensureDirectory(runDir, `${LIVE}/${podUid}/${name}`);
}

/** Whether a directory of the pod's is there, with all that is in it from the beginning. */
export const isWhole = (runDir: RunDir, podUid: string): boolean =>
  INSIDE.every((name) => existsSync(`${workPath(runDir, podUid)}/${name}`));

/** Removes what `makeLiveDirectory` made. @returns whether nothing is left of it; something is where a class still has a directory */
export function removeLiveDirectory(runDir: RunDir, podUid: string): boolean {
  const path = workPath(runDir, podUid);
  for (const file of [STATUS, `.${STATUS}`]) rmSync(`${path}/${file}`, { force: true });
  try {
    for (const name of INSIDE) removeDirectory(`${path}/${name}`);
    removeDirectory(path);
    return true;
  } catch (error) {
    if (!['ENOTEMPTY', 'EBUSY'].includes(errorCode(error) ?? '')) throw error;
    return false;
  }
}

function removeDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

/** The UIDs of the pods that have a directory. */
export const livePods = (runDir: RunDir): string[] => namesIn(runDir, LIVE);

/** Whose the directory is; undefined where there is none, or only the beginning of one. */
export function readLiveRecord(runDir: RunDir, podUid: string): LiveRecord | undefined {
  try {
    const text = getAttribute(workPath(runDir, podUid), RECORD);
    return text === undefined ? undefined : (JSON.parse(text) as LiveRecord);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes the file that a pod's program can read, whole or not at all, where it says something else. @throws Error of the system */
export function writeLiveStatus(runDir: RunDir, podUid: string, status: object): void {
  const path = `${workPath(runDir, podUid)}/${STATUS}`;
  const text = `${JSON.stringify(status, null, 2)}\n`;
  if (readText(path) === text) return;
  const fresh = `${workPath(runDir, podUid)}/.${STATUS}`;
  writeFileSync(fresh, text, { mode: 0o644 });
  renameSync(fresh, path);
}

/** Names below a kind, hidden ones too. */
export const placesIn = (runDir: RunDir, podUid: string): string[] =>
  KINDS.flatMap((kind) => namesIn(runDir, `${LIVE}/${podUid}/${kind}`).map((name) => `${kind}/${name}`));

/** Makes the directory of a class in the directory of a pod. @throws Error of the system */
export function makePlace(runDir: RunDir, podUid: string, place: string): void {
  makeDirectories(`${workPath(runDir, podUid)}/${place}`);
}

const workPath = (runDir: RunDir, podUid: string): string => `${runDir.work}/${LIVE}/${podUid}`;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
