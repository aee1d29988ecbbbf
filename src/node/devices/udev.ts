import { type FSWatcher, statSync, watch } from 'node:fs';
import { asKey, type DeviceKey } from '../../linux/device.ts';
import { splitNumber } from '../../linux/device-number.ts';
import { isErrno } from '../../linux/errors.ts';
import { findUdevDatabase, readUdevRecord, type UdevRecord } from '../../linux/udev-database.ts';
import type { Logger } from '../../observability/logger.ts';

const NONE: UdevRecord = { properties: new Map(), links: [] };
const MISSING =
  'device classes go by udev properties, and no udevd of the node has a database: no device matches these';

/**
 * What udevd knows of devices: the properties that classes go by, and its links. It writes that after the kernel's event, and tells only its
 * own listeners: so its files are watched.
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

  /** Its links are those that /dev has: of several devices that ask for one, udevd gives it to one. */
  record(key: DeviceKey): UdevRecord {
    if (this.#path === undefined) return NONE;
    const { properties, links } = readUdevRecord(this.#path, key);
    return { properties, links: links.filter((link) => leadsTo(`/dev/${link}`, key)) };
  }

  /** Why devices may be in a class later than they should. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /**
   * May be called at any time: what could not be watched is tried again.
   * @param isNeeded some class goes by properties: it is a problem where there is no udevd
   */
  setActive(isActive: boolean, isNeeded = false): void {
    const path = isActive ? findUdevDatabase() : undefined;
    const isMissing = isNeeded && path === undefined;
    if (isMissing && !this.#isMissing) this.#log.warn(MISSING);
    this.#isMissing = isMissing;
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

/** Whether a path below /dev is that device. */
function leadsTo(path: string, key: DeviceKey): boolean {
  try {
    return splitNumber(statSync(path, { bigint: true }).rdev) === key.slice(1);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
    // It is not made yet, or was never; then the next change of the database tells.
    return false;
  }
}
