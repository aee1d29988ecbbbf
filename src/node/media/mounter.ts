import type { BlockDevice } from '../../linux/block.ts';
import { SpareChild } from '../../linux/spare-child.ts';
import type { Logger } from '../../observability/logger.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { readMounted } from './actual.ts';
import type { DesiredMount } from './desired.ts';
import { type Attempt, mountDisk } from './mount.ts';

export interface MounterOptions {
  readonly runDir: RunDir;
  readonly log: Logger;
  /** Seconds from the event (or from asking, where there was none) until the disk could be read. */
  readonly onMounted?: (className: string, seconds: number) => void;
}

/** Mounts disks, each under a name that no other disk has or is about to get. */
export class Mounter {
  readonly #options: MounterOptions;
  /** Names of disks that are being mounted, `class/name`. */
  readonly #reserved = new Set<string>();
  readonly #mount = new SpareChild();

  constructor(options: MounterOptions) {
    this.#options = options;
  }

  /** Starts a child ahead of the next disk. To be called when nothing more urgent is waiting. */
  prepare(): void {
    this.#mount.prepare();
  }

  /** @param at when it was asked for, in ms since the epoch */
  async mount(device: BlockDevice, desired: DesiredMount, at: number): Promise<Attempt> {
    const { runDir, log, onMounted } = this.#options;
    const { className, fileSystem } = desired;
    const inUse = new Set(readMounted(runDir).map((mounted) => `${mounted.className}/${mounted.directory}`));
    let reserved = '';
    const reserve = (directory: string): boolean => {
      const key = `${className}/${directory}`;
      if (inUse.has(key) || this.#reserved.has(key)) return false;
      this.#reserved.delete(reserved);
      this.#reserved.add(key);
      reserved = key;
      return true;
    };
    try {
      const attempt = await mountDisk({ runDir, mount: this.#mount }, device, desired, reserve);
      if (attempt.finding) return attempt;
      const seconds = (performance.timeOrigin + performance.now() - at) / 1000;
      onMounted?.(className, seconds);
      const { directory } = attempt;
      log.info({ disk: device.name, class: className, directory, fsType: fileSystem.type, seconds }, 'mounted');
      return attempt;
    } finally {
      this.#reserved.delete(reserved);
    }
  }
}
