import { type FSWatcher, watch } from 'node:fs';
import { asKey, type DeviceKey } from '../../linux/device.ts';
import { findUdevDatabase, readUdevProperties } from '../../linux/udev-database.ts';
import type { Logger } from '../../observability/logger.ts';

const NONE: ReadonlyMap<string, string> = new Map();
const MISSING =
  'device classes go by udev properties, and no udevd of the node has a database: no device matches these';

/**
 * What udevd knows of devices, for the classes that ask for it. It writes that after the kernel's event, and says so to nobody but its own
 * listeners: so its files are watched.
 */
export class Udev {
  readonly #log: Logger;
  readonly #onChange: (key: DeviceKey) => void;
  #path: string | undefined;
  #watcher: FSWatcher | undefined;
  #problem: string | undefined;
  /** That there is none: told once. */
  #isMissing = false;

  constructor(log: Logger, onChange: (key: DeviceKey) => void) {
    this.#log = log;
    this.#onChange = onChange;
  }

  properties(key: DeviceKey): ReadonlyMap<string, string> {
    return this.#path === undefined ? NONE : readUdevProperties(this.#path, key);
  }

  /** Why devices may be in a class later than they should. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** May be called at any time: what could not be watched is tried again. */
  setActive(isActive: boolean): void {
    const path = isActive ? findUdevDatabase() : undefined;
    if (isActive && path === undefined && !this.#isMissing) this.#log.warn(MISSING);
    this.#isMissing = isActive && path === undefined;
    if (path === this.#path && (path === undefined || this.#watcher)) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#path = path;
    if (path === undefined) this.#problem = undefined;
    else this.#watch(path);
  }

  close(): void {
    this.setActive(false);
  }

  #watch(path: string): void {
    try {
      this.#watcher = watch(path, { persistent: false }, (_, name) => {
        const key = asKey(name ?? '');
        if (key) this.#onChange(key);
      });
      this.#watcher.on('error', (error) => this.#failed(path, error));
      this.#problem = undefined;
    } catch (error) {
      this.#failed(path, error as Error);
    }
  }

  #failed(path: string, { message }: Error): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    const problem = `what udevd writes to ${path} is not seen as it comes (${message}): devices of classes that go by udev properties appear later, with the next look at all of them. It is tried again; if that does not help, raise fs.inotify.max_user_watches and max_user_instances of the node`;
    if (problem !== this.#problem) this.#log.error(problem);
    this.#problem = problem;
  }
}
