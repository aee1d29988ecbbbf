import { readFileSync } from 'node:fs';
import type { FileSystem } from '../../linux/blkid.ts';
import { errorCode } from '../../linux/errors.ts';
import { type Mount, parseMountinfo } from '../../linux/mountinfo.ts';
import { getAttribute, setAttribute } from '../../linux/xattr.ts';
import type { Owner } from '../../policy/index.ts';
import { namesIn, type RunDir } from '../run-dir/run-dir.ts';
import type { Dirt } from './dirt.ts';

/**
 * What must be known of a mount and no table tells: which disk, with which medium, and which options. It is an extended attribute of the
 * directory that is mounted on, written before the mount is made: whoever finds the mount finds this.
 */
export interface MountRecord {
  /** The kernel's name of the disk. */
  readonly name: string;
  /** `major:minor` of the disk. btrfs mounts have another of their own. */
  readonly device: string;
  readonly sequence: number;
  readonly fileSystem: FileSystem;
  readonly options: readonly string[];
  /** To whom the files of the disk's root are shown to belong. */
  readonly owner?: Owner | undefined;
  /** Where its last user did not leave it in order. */
  readonly dirty?: Dirt | undefined;
  /** ISO 8601. */
  readonly since: string;
}

const RECORD = 'trusted.hotmount.mount';

/** What has been read or written of the directories' records, by path: nobody else changes them. */
const cache = new WeakMap<RunDir, Map<string, MountRecord>>();

export function cachedRecords(runDir: RunDir): Map<string, MountRecord> {
  const known = cache.get(runDir) ?? new Map<string, MountRecord>();
  cache.set(runDir, known);
  return known;
}

export const TREES = ['media', 'media-ro'] as const;
export type Tree = (typeof TREES)[number];

/** Where the pods with users of their own have their trees: `users/<pod UID>/media`. */
export const USERS = 'users';
/** The tree of such a pod, in which disks are shown by the ids of its users. */
export type ViewTree = `${typeof USERS}/${string}/${Tree}`;

export const viewTree = (podUid: string, tree: Tree): ViewTree => `${USERS}/${podUid}/${tree}`;

/** The trees of pods that there are. */
export const viewTrees = (runDir: RunDir): ViewTree[] =>
  namesIn(runDir, USERS).flatMap((podUid) => TREES.map((tree) => viewTree(podUid, tree)));

/** A disk as a pod with users of its own has it. */
export interface View {
  readonly tree: ViewTree;
  readonly mount: Mount;
}

/** A disk as it is mounted now. */
export interface Mounted {
  readonly className: string;
  readonly directory: string;
  readonly record: MountRecord;
  /** More than one only where two daemons interfered. */
  readonly main: readonly Mount[];
  readonly twin: readonly Mount[];
  readonly views: readonly View[];
}

/** All mounts of it, those of pods first. */
export const mountsOf = ({ main, twin, views }: Mounted): Mount[] => [
  ...views.map(({ mount }) => mount),
  ...twin,
  ...main,
];

/** Path of a disk's directory, relative to the run dir. */
export const mediaDirectory = (tree: Tree | ViewTree, className: string, directory: string): string =>
  `${tree}/${className}/${directory}`;

/** What is mounted in the run dir's trees now. Of the table, which is long on a busy node, only these lines are parsed. */
function readMedia(runDir: RunDir): Mount[] {
  const text = readFileSync('/proc/self/mountinfo', 'latin1');
  return parseMountinfo(
    text
      .split('\n')
      .filter((line) => line.includes('/media'))
      .join('\n'),
  ).filter(({ mountPoint }) => mountPoint.startsWith(`${runDir.path}/`));
}

interface Found extends Record<Tree, Mount[]> {
  readonly className: string;
  readonly directory: string;
  readonly views: View[];
}

/** Everything that is mounted in the run dir's trees and that a daemon of ours has mounted. */
export function readMounted(runDir: RunDir, mounts: readonly Mount[] = readMedia(runDir)): Mounted[] {
  const found = new Map<string, Found>();
  for (const mount of mounts) {
    const place = placeOf(runDir, mount);
    if (!place) continue;
    const { tree, className, directory } = place;
    const key = `${className}/${directory}`;
    const entry = found.get(key) ?? { className, directory, media: [], 'media-ro': [], views: [] };
    if (isViewTree(tree)) entry.views.push({ tree, mount });
    else entry[tree].push(mount);
    found.set(key, entry);
  }
  return [...found.values()].flatMap(({ className, directory, media, 'media-ro': twin, views }) => {
    const trees = views.map(({ tree }) => tree);
    const record = readRecord(runDir, className, directory, trees);
    return record ? [{ className, directory, record, main: media, twin, views }] : [];
  });
}

function placeOf(
  runDir: RunDir,
  { mountPoint }: Mount,
): { tree: Tree | ViewTree; className: string; directory: string } | undefined {
  if (!mountPoint.startsWith(`${runDir.path}/`)) return undefined;
  const path = mountPoint.slice(runDir.path.length + 1).split('/');
  const owner = path[0] === USERS ? path.splice(0, 2) : [];
  const [tree, className, directory, ...rest] = path;
  if (!TREES.includes(tree as Tree) || !className || !directory || rest.length > 0) return undefined;
  return { tree: [...owner, tree].join('/') as Tree | ViewTree, className, directory };
}

const isViewTree = (tree: Tree | ViewTree): tree is ViewTree => tree.startsWith(`${USERS}/`);

export function writeRecord(
  runDir: RunDir,
  tree: Tree | ViewTree,
  className: string,
  directory: string,
  record: MountRecord,
): void {
  const path = mediaDirectory(tree, className, directory);
  setAttribute(`${runDir.work}/${path}`, RECORD, JSON.stringify(record));
  cachedRecords(runDir).set(path, record);
}

/**
 * Reads the record of one of its directories: all have it, since the daemon may be killed between two steps.
 * @param views trees of pods in which the disk has one
 */
export function readRecord(
  runDir: RunDir,
  className: string,
  directory: string,
  views: readonly ViewTree[] = [],
): MountRecord | undefined {
  for (const tree of [...TREES, ...views]) {
    const record = readRecordAt(runDir, mediaDirectory(tree, className, directory));
    if (record) return record;
  }
  return undefined;
}

function readRecordAt(runDir: RunDir, path: string): MountRecord | undefined {
  const known = cachedRecords(runDir).get(path);
  if (known) return known;
  try {
    const text = getAttribute(`${runDir.work}/${path}`, RECORD);
    if (text === undefined) return undefined;
    // Only the daemon can write it: trusted.* takes CAP_SYS_ADMIN in the initial user namespace, and the tree is read-only to pods.
    const record = JSON.parse(text) as MountRecord;
    cachedRecords(runDir).set(path, record);
    return record;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
