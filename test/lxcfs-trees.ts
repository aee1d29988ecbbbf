import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Suites of Debian with an lxcfs of their own: 6.0 in trixie, 7.0 in sid. The machine's own is bookworm's 5.0. */
export type Suite = 'trixie' | 'sid';

const IMAGE = fileURLToPath(new URL('../image', import.meta.url));

/**
 * Where a suite's lxcfs is unpacked, for `HOTMOUNT_LXCFS`: the one that the image has. It comes from the mirror once, and then from the
 * user's cache directory. A directory gets its final name when it is complete. @throws with what apt said
 */
export function treeOf(suite: Suite): string {
  const { HOTMOUNT_LXCFS_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = HOTMOUNT_LXCFS_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'hotmount-lxcfs');
  const tree = join(cache, `${suite}-${contentOf('unpack-lxcfs', 'lxcfs.packages')}`);
  if (existsSync(tree)) return tree;
  mkdirSync(cache, { recursive: true });
  const building = mkdtempSync(join(cache, '.building-'));
  try {
    execFileSync(`${IMAGE}/unpack-lxcfs`, [suite, `${building}/tree`], { stdio: ['ignore', 'ignore', 'pipe'] });
    renameSync(`${building}/tree`, tree);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
  return tree;
}

/** What other files would come of. */
function contentOf(...names: string[]): string {
  const hash = createHash('sha256');
  for (const name of names) hash.update(readFileSync(join(IMAGE, name)));
  return hash.digest('hex').slice(0, 12);
}
