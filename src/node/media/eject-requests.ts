import { type FSWatcher, watch } from 'node:fs';
import { runChild } from '../../linux/child.ts';
import { patient } from '../../linux/slowness.ts';
import type { Logger } from '../../observability/logger.ts';
import { Timers } from '../reconcile/timers.ts';

/** A pod that may write to a disk asks for its ejection by a file of this name in the disk's root directory. */
export const EJECT_FILE = '.eject';

/** ms */
const REMOVE_DEADLINE = patient(5000);
/** ms after which it is found out again what an event meant. */
const RETRY = 1000;

/** Watches for such files. One that was there when the disk was plugged in asks for nothing. */
export class EjectRequests {
  readonly #log: Logger;
  readonly #onRequest: (disk: string) => void;
  readonly #timers = new Timers();
  readonly #watched = new Map<string, { readonly path: string; readonly watcher: FSWatcher }>();

  constructor(log: Logger, onRequest: (disk: string) => void) {
    this.#log = log;
    this.#onRequest = onRequest;
  }

  /** @param path where a disk is mounted that pods may write to; undefined where it is not, any more */
  follow(disk: string, path: string | undefined): void {
    const known = this.#watched.get(disk);
    if (known?.path === path) return;
    known?.watcher.close();
    this.#watched.delete(disk);
    if (path === undefined) return;
    try {
      // What a mount point leads to is known to the kernel: nothing is asked of the disk.
      const watcher = watch(path, { persistent: false }, (event, name) => {
        if (event === 'rename' && name === EJECT_FILE) void this.#request(disk, path);
      });
      // It ends with the mount.
      watcher.on('error', () => this.follow(disk, undefined));
      this.#watched.set(disk, { path, watcher });
    } catch (error) {
      this.#log.warn(
        { disk, err: error },
        `a file ${EJECT_FILE} that a pod makes on it is not seen: use hotmount eject`,
      );
    }
  }

  close(): void {
    this.#timers.clear();
    for (const disk of [...this.#watched.keys()]) this.follow(disk, undefined);
  }

  /** The event is the same where the file has gone: who takes away an old one asks for nothing. */
  async #request(disk: string, path: string): Promise<void> {
    const watched = this.#watched.get(disk);
    try {
      const removed = await runChild('rm', ['--', EJECT_FILE], { deadline: REMOVE_DEADLINE, cwd: path });
      if (/No such file/.test(removed.stderr)) return;
    } catch (error) {
      // Meanwhile it was unmounted, or this daemon ends.
      if (!watched || this.#watched.get(disk) !== watched) return;
      this.#log.warn(
        { disk, err: error },
        `whether a pod asks for its ejection is not known yet: ${EJECT_FILE} is looked at again`,
      );
      this.#timers.after(RETRY, () => {
        if (this.#watched.get(disk) === watched) void this.#request(disk, path);
      });
      return;
    }
    this.follow(disk, undefined);
    this.#log.info({ disk }, `a pod asks for its ejection, by ${EJECT_FILE}`);
    this.#onRequest(disk);
  }
}
