import { type FSWatcher, watch } from 'node:fs';
import { type BlockDevice, readBlockDevice } from '../../linux/block.ts';
import { deviceNumber } from '../../linux/device-number.ts';
import { attribute } from '../../linux/sysfs.ts';
import { rereadPartitions } from '../block/reread-partitions.ts';
import { devicePath } from './run-mount.ts';

/** ms for which nothing must have been written. */
const SETTLE = 500;

/** Of `/sys/class/block/…/stat`: sectors written, and sectors discarded (Documentation/block/stat.rst). */
const WRITTEN = [6, 13];

/**
 * Watches disks on which there is nothing to mount, until somebody has written to them. The kernel says nothing when `mkfs` has ended; udevd
 * watches the device node likewise and makes an event.
 */
export class WriteWatch {
  readonly #onWritten: (disk: string) => void;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #timers = new Map<string, NodeJS.Timeout>();

  /** @param onWritten the disk is to be looked at again */
  constructor(onWritten: (disk: string) => void) {
    this.#onWritten = onWritten;
  }

  /** Until it is written to for the first time. */
  follow(device: BlockDevice): void {
    const { name } = device;
    const path = devicePath(device);
    if (this.#watchers.has(name) || this.#timers.has(name) || deviceNumber(path) !== device.device) return;
    try {
      const watcher = watch(path, { persistent: false }, () => this.#waitUntilSettled(name));
      watcher.on('error', () => this.forget(name));
      this.#watchers.set(name, watcher);
    } catch {
      // No more inotify watches: the disk's next event finds what is on it.
    }
  }

  /** It is mounted, or has gone. */
  forget(name: string): void {
    this.#watchers.get(name)?.close();
    this.#watchers.delete(name);
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  close(): void {
    for (const name of [...this.#watchers.keys(), ...this.#timers.keys()]) this.forget(name);
  }

  /** A watch would tell of every single write. */
  #waitUntilSettled(name: string, before?: string): void {
    this.forget(name);
    const now = written(name);
    if (now === before) void this.#settled(name);
    else this.#timers.set(name, setTimeout(() => this.#waitUntilSettled(name, now), SETTLE).unref());
  }

  async #settled(name: string): Promise<void> {
    const device = readBlockDevice(name);
    if (device && !device.isPartition) await rereadPartitions(devicePath(device));
    this.#onWritten(name);
  }
}

function written(name: string): string {
  const fields = attribute(`/sys/class/block/${name}`, 'stat').split(/\s+/);
  return WRITTEN.map((index) => fields[index]).join();
}
