import { type FSWatcher, watch } from 'node:fs';
import { type BlockDevice, readBlockDevice } from '../../linux/block.ts';
import { deviceNumber } from '../../linux/device-number.ts';
import { kernelAttribute } from '../../linux/sysfs.ts';
import { rereadPartitions } from '../block/reread-partitions.ts';
import { devicePath } from './run-mount.ts';

/** ms for which nothing must have been written. */
const SETTLE = 500;

/** ms between two looks at a disk that cannot be watched. */
const POLL = 5000;

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
    if (this.#watchers.has(name) || this.#timers.has(name)) return;
    try {
      if (deviceNumber(path) !== device.device) return;
      const watcher = watch(path, { persistent: false }, () => this.#waitUntilSettled(name));
      watcher.on('error', () => this.forget(name));
      this.#watchers.set(name, watcher);
    } catch {
      // No more inotify watches.
      this.#followLater(device, written(name));
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

  /** Meanwhile, what the kernel counts tells whether it was written to. */
  #followLater(device: BlockDevice, before: string | undefined): void {
    const { name } = device;
    const look = (): void => {
      this.#timers.delete(name);
      if (written(name) !== before) this.#waitUntilSettled(name);
      else this.follow(device);
    };
    this.#timers.set(name, setTimeout(look, POLL).unref());
  }

  /** A watch would tell of every single write. */
  #waitUntilSettled(name: string, before?: string): void {
    this.forget(name);
    const now = written(name);
    if (now !== undefined && now === before) void this.#settled(name);
    else this.#timers.set(name, setTimeout(() => this.#waitUntilSettled(name, now), SETTLE).unref());
  }

  async #settled(name: string): Promise<void> {
    try {
      const device = readBlockDevice(name);
      if (device && !device.isPartition) await rereadPartitions(devicePath(device));
    } catch {
      // The look at the disk meets it, too, and is made again.
    }
    this.#onWritten(name);
  }
}

/** Undefined where it cannot be read now. */
function written(name: string): string | undefined {
  try {
    const fields = kernelAttribute(`/sys/class/block/${name}`, 'stat').split(/\s+/);
    return WRITTEN.map((index) => fields[index]).join();
  } catch {
    return undefined;
  }
}
