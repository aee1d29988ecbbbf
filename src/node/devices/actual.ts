import {
  chmodSync,
  type Dirent,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { dirname } from 'node:path/posix';
import { splitNumber } from '../../linux/device-number.ts';
import { errorCode } from '../../linux/errors.ts';
import { makeNode as mknod } from '../../linux/mounts.ts';
import { getAttribute, setAttribute } from '../../linux/xattr.ts';
import { namesIn, type RunDir } from '../run-dir/run-dir.ts';
import type { DesiredNode } from './desired.ts';

/** Directory of the run dir that holds a directory for each class. */
export const DEVICES = 'devices';

/**
 * What must be known of a node and its number does not tell: whose it is. Numbers are given anew; a node that is found after that, by a
 * daemon that was not there when it happened, must not pass for that of the device that has the number now.
 */
export interface NodeRecord {
  readonly identity: string;
  /** ISO 8601. */
  readonly since: string;
}

/** A device node as it is. */
export interface ActualNode {
  readonly path: string;
  readonly type: 'char' | 'block';
  readonly major: number;
  readonly minor: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Undefined where it is not of our making. */
  readonly record: NodeRecord | undefined;
}

export interface Actual {
  readonly nodes: ReadonlyMap<string, ActualNode>;
  readonly links: ReadonlyMap<string, string>;
}

const RECORD = 'trusted.hotmount.device';

/** What is below `devices` now. */
export function readNodes(runDir: RunDir): Actual {
  const nodes = new Map<string, ActualNode>();
  const links = new Map<string, string>();
  const walk = (entry: Dirent, path: string): void => {
    const full = fullPath(runDir, path);
    if (entry.isDirectory()) {
      for (const child of readdirSync(full, { withFileTypes: true })) walk(child, `${path}/${child.name}`);
    } else if (entry.isSymbolicLink()) links.set(path, readlinkSync(full));
    else if (entry.isCharacterDevice() || entry.isBlockDevice()) nodes.set(path, readNode(full, path));
  };
  for (const entry of classDirectories(runDir)) walk(entry, entry.name);
  return { nodes, links };
}

function readNode(full: string, path: string): ActualNode {
  const { rdev, mode, uid, gid } = lstatSync(full, { bigint: true });
  const [major, minor] = splitNumber(rdev).split(':').map(Number) as [number, number];
  const type = (mode & 0o170000n) === 0o060000n ? 'block' : 'char';
  // Only the daemon can write it: trusted.* takes CAP_SYS_ADMIN in the initial user namespace, and the tree is read-only to pods.
  const text = getAttribute(full, RECORD);
  return {
    path,
    type,
    major,
    minor,
    mode: Number(mode & 0o7777n),
    uid: Number(uid),
    gid: Number(gid),
    record: text === undefined ? undefined : (JSON.parse(text) as NodeRecord),
  };
}

/** Makes a node elsewhere and moves it to its place: who sees it, sees it complete, and its record with it. @throws Error of the system */
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

/** Makes a symbolic link, or makes it say something else. @throws Error of the system */
export function placeLink(runDir: RunDir, path: string, target: string): void {
  const fresh = fullPath(runDir, UNFINISHED);
  discard(fresh);
  symlinkSync(target, fresh);
  moveTo(runDir, fresh, path);
}

/** Removes a node or link, and the directories above it that are empty by that: the class's own stays, for running pods hold it. */
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

/** No class can be called so. */
const UNFINISHED = '.unfinished';

function moveTo(runDir: RunDir, fresh: string, path: string): void {
  mkdirSync(fullPath(runDir, dirname(path)), { recursive: true, mode: 0o755 });
  renameSync(fresh, fullPath(runDir, path));
}

function setAccess(path: string, mode: number, uid: number, gid: number): void {
  // In this order nobody has it for a moment who is not to.
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

function classDirectories(runDir: RunDir): Dirent[] {
  if (namesIn(runDir, DEVICES).length === 0) return [];
  return readdirSync(`${runDir.work}/${DEVICES}`, { withFileTypes: true }).filter((entry) => entry.isDirectory());
}

const fullPath = (runDir: RunDir, path: string): string => `${runDir.work}/${DEVICES}/${path}`;
