import { type Dirent, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { splitNumber } from '../../linux/device-number.ts';
import { getAttribute } from '../../linux/xattr.ts';
import { namesIn, type RunDir } from '../run-dir/run-dir.ts';

/** Directory of the run dir that holds a directory for each class. */
export const DEVICES = 'devices';

/**
 * What must be known of a node and its number does not tell: which device it belongs to. The kernel reuses numbers: a daemon that starts
 * after that must not take an old node for that of the device that has the number now.
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
  /** Undefined where hotmount did not make it. */
  readonly record: NodeRecord | undefined;
}

export interface Actual {
  readonly nodes: ReadonlyMap<string, ActualNode>;
  readonly links: ReadonlyMap<string, string>;
}

/** The extended attribute that holds a {@link NodeRecord}. */
export const RECORD = 'trusted.hotmount.device';

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

function classDirectories(runDir: RunDir): Dirent[] {
  if (namesIn(runDir, DEVICES).length === 0) return [];
  return readdirSync(`${runDir.work}/${DEVICES}`, { withFileTypes: true }).filter((entry) => entry.isDirectory());
}

/** A path below `devices`, in the writable tree. */
export const fullPath = (runDir: RunDir, path: string): string => `${runDir.work}/${DEVICES}/${path}`;
