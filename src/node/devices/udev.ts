import { type FSWatcher, watch } from 'node:fs';
import { asKey, type DeviceKey } from '../../linux/device.ts';
import { findUdevDatabase, readUdevProperties } from '../../linux/udev-database.ts';
import type { Logger } from '../../observability/logger.ts';

const NONE: ReadonlyMap<string, string> = new Map();

/**
 * What udevd knows of devices, for the classes that ask for it. It writes that after the kernel's event, and says so to nobody but its own
 * listeners: so its files are watched.
 */
export class Udev {
  readonly #log: Logger;
  readonly #onChange: (key: DeviceKey) => void;
  #database: { readonly path: string; readonly watcher: FSWatcher } | undefined;

  constructor(log: Logger, onChange: (key: DeviceKey) => void) {
    this.#log = log;
    this.#onChange = onChange;
  }

  properties(key: DeviceKey): ReadonlyMap<string, string> {
    return this.#database ? readUdevProperties(this.#database.path, key) : NONE;
  }

  setActive(isActive: boolean): void {
    const path = isActive ? findUdevDatabase() : undefined;
    if (isActive && path === undefined) {
      this.#log.warn(
        'device classes go by udev properties, and no udevd of the node has a database: no device matches these',
      );
    }
    if (path !== undefined && path === this.#database?.path) return;
    this.close();
    if (path === undefined) return;
    const watcher = watch(path, { persistent: false }, (_, name) => {
      const key = asKey(name ?? '');
      if (key) this.#onChange(key);
    });
    watcher.on('error', (error) => this.#log.error({ err: error }, 'changes of the udev database are not seen'));
    this.#database = { path, watcher };
  }

  close(): void {
    this.#database?.watcher.close();
    this.#database = undefined;
  }
}
