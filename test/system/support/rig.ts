import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { removeLoopDevice } from '../../../src/linux/loop.ts';
import { readMountinfo } from '../../../src/linux/mountinfo.ts';
import { findMounts } from '../../../src/linux/namespaces.ts';

const PREFIX = 'hotmount-system-';

/**
 * A directory of a test's own, and a list of what to undo. Starts by undoing what earlier runs that were killed have left.
 */
export class Rig {
  readonly dir: string;
  /** The first part of the UUIDs of all file systems made here: policies of this rig match no disk of anyone else. */
  readonly uuidPrefix = randomUUID().slice(0, 8);
  readonly #undo: Record<'process' | 'disk', (() => unknown)[]> = { process: [], disk: [] };

  constructor() {
    sweep();
    this.dir = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
    // Mounting a disk image flushes the disk that it is on: what is measured and waited for is not to be that disk.
    run('mount', '-t', 'tmpfs', '-o', 'mode=755,size=4g', 'hotmount-system', this.dir);
  }

  path(...names: string[]): string {
    return join(this.dir, ...names);
  }

  /**
   * Called at the end: first all processes, the last one first; then what is still mounted is unmounted; then the disks go. Must not
   * mind being late.
   */
  onClose(kind: 'process' | 'disk', undo: () => unknown): void {
    this.#undo[kind].unshift(undo);
  }

  uuid(): string {
    return `${this.uuidPrefix}${randomUUID().slice(8)}`;
  }

  /** A policy with one media class for this rig's disks, unless `classes` says otherwise (YAML of the list). */
  policy(classes = `- {name: test, match: [{uuid: ["${this.uuidPrefix}-*"]}]}`): string {
    return `apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: []\nmediaClasses:\n${classes.replace(/^/gm, '  ')}\n`;
  }

  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (const undo of [...this.#undo.process, () => unmountBelow(this.dir), ...this.#undo.disk]) {
      try {
        await undo();
      } catch (error) {
        errors.push(error);
      }
    }
    tidy(this.dir);
    if (errors.length > 0) throw new AggregateError(errors, 'cleaning up failed');
  }
}

export function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

/** What one has to wait longer on a slow machine. */
const PATIENCE = Number(process.env['HOTMOUNT_PATIENCE'] ?? 1);

/** Asks until it is so. The time is only a limit: what is tested is the outcome. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  seconds = 20 * PATIENCE,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + seconds * 1000;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`, { cause: last });
    await sleep(5);
  }
}

/** The mount points at and below a directory of this namespace, the innermost last. */
export const mountPointsBelow = (dir: string): string[] =>
  readMountinfo()
    .map(({ mountPoint }) => mountPoint)
    .filter((mountPoint) => mountPoint === dir || mountPoint.startsWith(`${dir}/`));

/** Whether no mount table on the machine names the file system. */
export function isNowhere(device: string): boolean {
  const { namespaces, complete } = findMounts([device]);
  return complete && namespaces.length === 0;
}

/** Remembers in the rig a device that was made for it: it goes at the end, or with the sweep of a later run. */
export const note = (rig: Rig, kind: 'zram' | 'loop', id: string): void => writeFileSync(rig.path(`${kind}-${id}`), '');

function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid && !existsSync(`/proc/${pid}`)) tidy(join(tmpdir(), name));
  }
}

function tidy(dir: string): void {
  for (const state of existsSync(join(dir, 'runc')) ? readdirSync(join(dir, 'runc')) : []) {
    attempt('runc', '--root', join(dir, 'runc'), 'delete', '--force', state);
  }
  unmountBelow(dir);
  for (const line of attempt('losetup', '-l', '-n', '-O', 'NAME,BACK-FILE').split('\n')) {
    const [device, file] = line.trim().split(/\s+/, 2);
    if (!device || !file?.startsWith(`${dir}/`)) continue;
    for (const number of ['1', '2', '5']) attempt('delpart', device, number);
    attempt('losetup', '-d', device);
  }
  for (const name of existsSync(dir) ? readdirSync(dir) : []) {
    const [, kind, id] = /^(zram|loop)-(\d+)$/.exec(name) ?? [];
    if (!id || !existsSync(`/sys/block/${kind}${id}`)) continue;
    try {
      if (kind === 'zram') writeFileSync('/sys/class/zram-control/hot_remove', id);
      else removeLoopDevice(Number(id));
    } catch {
      // Still in use, or used by someone else by now.
    }
  }
  attempt('umount', '-l', dir);
  rmSync(dir, { recursive: true, force: true });
}

function unmountBelow(dir: string): void {
  for (const mountPoint of mountPointsBelow(dir).reverse()) {
    if (mountPoint !== dir) attempt('umount', '-l', mountPoint);
  }
}

function attempt(command: string, ...args: string[]): string {
  try {
    return run(command, ...args);
  } catch {
    return '';
  }
}

export const readText = (path: string): string => readFileSync(path, 'utf8');
