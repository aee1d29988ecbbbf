import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { classKey } from '../contract/annotations.ts';
import { errorCode } from '../linux/errors.ts';

/**
 * What node-feature-discovery makes labels of (its local source, features.d): for each class with something plugged in
 * `hotmount.io/<class>=true` and how many. Sorted, so that the same state gives the same text. Pure.
 */
export function featureText(counts: ReadonlyMap<string, number>): string {
  const lines = [...counts]
    .filter(([, count]) => count > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, count]) => [`${classKey(name)}=true`, `${classKey(name)}.count=${count}`]);
  return lines.map((line) => `${line}\n`).join('');
}

/** Counts the names. Pure. */
export function countNames(names: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** Writes the file where it says something else, whole or not at all: its reader skips hidden files. @throws Error of the system */
export function writeFeatureFile(path: string, text: string): void {
  if (readText(path) === text) return;
  const fresh = join(dirname(path), `.${basename(path)}`);
  writeFileSync(fresh, text);
  renameSync(fresh, path);
}

/** @throws Error of the system */
export const removeFeatureFile = (path: string): void => rmSync(path, { force: true });

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
