import { type ChildResult, runChild } from '../../linux/child.ts';
import { errorCode } from '../../linux/errors.ts';
import { exists } from '../../linux/exists.ts';
import { renameMounted } from '../../linux/rename-mounted.ts';
import { patient } from '../../linux/slowness.ts';
import type { MediaClass } from '../../policy/index.ts';
import { ensureDirectory, namesIn, type RunDir } from '../run-dir/run-dir.ts';
import {
  cachedRecords,
  type Mounted,
  mediaDirectory,
  readRecord,
  TREES,
  type Tree,
  type ViewTree,
  viewTrees,
} from './actual.ts';

/**
 * The name under which a disk is mounted and unmounted. Pods see the disk's own name only while the disk is mounted there, never as an
 * empty directory. No disk's own name begins with a dot.
 */
export const hiddenName = (disk: string): string => `.${disk}`;

/** Also for classes without a disk: pods mount them before one is plugged in. */
export function makeClassDirectories(runDir: RunDir, classes: readonly MediaClass[]): void {
  for (const { name } of classes) for (const tree of TREES) ensureDirectory(runDir, `${tree}/${name}`);
}

/** Gives a disk's directory, with what is mounted on it, another name in its class. @throws SystemCallError EEXIST, ENOENT */
export function renameDirectory(
  runDir: RunDir,
  tree: Tree | ViewTree,
  className: string,
  from: string,
  to: string,
): void {
  const [source, target] = [from, to].map((name) => mediaDirectory(tree, className, name)) as [string, string];
  renameMounted(`${runDir.work}/${source}`, `${runDir.work}/${target}`);
  const records = cachedRecords(runDir);
  const record = records.get(source);
  records.delete(source);
  if (record) records.set(target, record);
}

/** Hides the disk. @returns the directories that it has now */
export function hideDirectories(runDir: RunDir, { className, directory, record, views }: Mounted): string[] {
  return [...TREES, ...views.map(({ tree }) => tree)].map((tree) => {
    const hidden = hiddenName(record.name);
    if (directory === hidden) return mediaDirectory(tree, className, directory);
    try {
      renameDirectory(runDir, tree, className, directory, hidden);
      return mediaDirectory(tree, className, hidden);
    } catch (error) {
      // There is no twin yet, or an unmount that failed has left that name taken: then it goes without being hidden.
      if (!['ENOENT', 'EEXIST'].includes(errorCode(error) ?? '')) throw error;
      return mediaDirectory(tree, className, directory);
    }
  });
}

/** ms */
export const REMOVE_DEADLINE = patient(5000);

/**
 * Removes directories without a mount here; one with a mount stays. In a child, for rmdir(2) detaches what is
 * mounted there in other namespaces (`detach_mounts` in the kernel's fs/namespace.c), and ending a foreign file system can take for ever.
 * @param paths relative to the run dir
 */
export async function removeDirectories(
  runDir: RunDir,
  paths: readonly string[],
): Promise<Pick<ChildResult, 'command' | 'timedOut' | 'stuck'> | undefined> {
  const present = paths.filter((path) => exists(`${runDir.work}/${path}`));
  if (present.length === 0) return undefined;
  const result = await runChild('rmdir', ['--', ...present], { deadline: REMOVE_DEADLINE, cwd: runDir.work });
  for (const path of present) if (!exists(`${runDir.work}/${path}`)) cachedRecords(runDir).delete(path);
  return result;
}

/**
 * The directories without a mount: left by a daemon that was killed between two steps, or unmounted by someone else. A child of the killed
 * daemon that is still about to mount finds its directory removed, and fails.
 * @param isBusy whether this daemon is working on the disk
 * @returns their paths, relative to the run dir
 */
export function strayDirectories(
  runDir: RunDir,
  mounted: readonly Mounted[],
  isBusy: (disk: string) => boolean,
): string[] {
  const keep = new Set(mounted.map(({ className, directory }) => `${className}/${directory}`));
  const stray: string[] = [];
  const views = viewTrees(runDir);
  for (const tree of [...TREES, ...views]) {
    for (const className of namesIn(runDir, tree)) {
      for (const directory of namesIn(runDir, `${tree}/${className}`)) {
        if (keep.has(`${className}/${directory}`)) continue;
        const disk = readRecord(runDir, className, directory, views)?.name ?? directory.slice(1);
        if (!isBusy(disk)) stray.push(mediaDirectory(tree, className, directory));
      }
    }
  }
  return stray;
}
