import { chmodSync, lchownSync, renameSync, rmdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path/posix';
import { errorCode } from '../../linux/errors.ts';
import { makeDirectories } from '../../linux/make-directories.ts';
import { makeNode as mknod } from '../../linux/mounts.ts';
import { setAttribute } from '../../linux/xattr.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { fullPath, type NodeRecord, RECORD } from './actual.ts';
import type { DesiredNode } from './desired.ts';

/** Makes a node elsewhere and moves it to its place: it appears complete, with its record. @throws Error of the system */
export function placeNode(runDir: RunDir, { path, device, deviceClass }: DesiredNode): void {
  const { type, major, minor, identity } = device;
  const { mode, uid, gid } = deviceClass;
  const record: NodeRecord = { identity, since: new Date().toISOString() };
  const fresh = fullPath(runDir, UNFINISHED);
  discard(fresh);
  mknod(fresh, type, major, minor);
  setAttribute(fresh, RECORD, JSON.stringify(record));
  setAccess(fresh, mode, uid, gid);
  moveTo(runDir, fresh, path);
}

/** Gives a node the owner and mode of its class. @throws Error of the system */
export function adjustNode(runDir: RunDir, { path, deviceClass: { mode, uid, gid } }: DesiredNode): void {
  setAccess(fullPath(runDir, path), mode, uid, gid);
}

/** Makes a symbolic link, or changes its target. @throws Error of the system */
export function placeLink(runDir: RunDir, path: string, target: string): void {
  const fresh = fullPath(runDir, UNFINISHED);
  discard(fresh);
  symlinkSync(target, fresh);
  moveTo(runDir, fresh, path);
}

/** Removes a node or link, and parent directories that this leaves empty. The class's own directory stays: running pods hold it. */
export function removeEntry(runDir: RunDir, path: string): void {
  discard(fullPath(runDir, path));
  for (let parent = dirname(path); parent.includes('/'); parent = dirname(parent)) {
    try {
      rmdirSync(fullPath(runDir, parent));
    } catch (error) {
      if (errorCode(error) === 'ENOTEMPTY') return;
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
}

/** No class can have this name. */
const UNFINISHED = '.unfinished';

function moveTo(runDir: RunDir, fresh: string, path: string): void {
  makeDirectories(fullPath(runDir, dirname(path)));
  renameSync(fresh, fullPath(runDir, path));
}

function setAccess(path: string, mode: number, uid: number, gid: number): void {
  // In this order nobody gets access for a moment who should not.
  chmodSync(path, mode & 0o700);
  lchownSync(path, uid, gid);
  chmodSync(path, mode);
}

function discard(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}
