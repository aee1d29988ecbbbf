import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Suites of Debian with an lxcfs of their own: 6.0 in trixie, 7.0 or newer in sid. The machine's own is bookworm's 5.0. */
export type Suite = 'trixie' | 'sid';

const UNPACK = fileURLToPath(new URL('../../image/unpack-lxcfs', import.meta.url));

/**
 * Where a suite's lxcfs is unpacked, for `HOTMOUNT_LXCFS`. It comes from the mirror once, and then from the user's cache directory. A
 * directory gets its final name when it is complete. @throws with what apt said
 */
export function treeOf(suite: Suite): string {
  const { HOTMOUNT_LXCFS_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = HOTMOUNT_LXCFS_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'hotmount-lxcfs');
  const tree = join(cache, suite);
  if (existsSync(tree)) return tree;
  mkdirSync(cache, { recursive: true });
  const building = mkdtempSync(join(cache, '.building-'));
  try {
    execFileSync(UNPACK, [suite, `${building}/tree`], { stdio: ['ignore', 'ignore', 'pipe'] });
    renameSync(`${building}/tree`, tree);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
  return tree;
}
