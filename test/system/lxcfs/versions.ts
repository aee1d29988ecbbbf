import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Rig, run } from '../support/rig.ts';

/** Suites of Debian with an lxcfs of their own: 6.0 in trixie, 7.0 or newer in sid. The machine's own is bookworm's 5.0. */
export const SUITES = ['trixie', 'sid'] as const;
export type Suite = (typeof SUITES)[number];

const UNPACK = fileURLToPath(new URL('../../../image/unpack-lxcfs', import.meta.url));

/** A directory for `HOTMOUNT_LXCFS`. What is put into it comes from the mirror once, and then from the user's cache directory. */
export class Trees {
  readonly path: string;

  constructor(rig: Rig) {
    this.path = rig.path('trees');
    mkdirSync(this.path);
  }

  /** @returns its version */
  add(suite: Suite): string {
    symlinkSync(treeOf(suite), `${this.path}/${suite}`);
    return versionOf(suite);
  }

  remove(suite: Suite): void {
    rmSync(`${this.path}/${suite}`);
  }
}

export const versionOf = (suite: Suite): string =>
  run('sh', '-c', `chroot ${treeOf(suite)} /usr/bin/lxcfs --version 2>&1`).replaceAll('"', '');

/** Where a suite's lxcfs is unpacked. A directory gets its final name when it is complete. @throws with what apt said */
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
