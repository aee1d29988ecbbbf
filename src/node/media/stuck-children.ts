import { readBlockDevice } from '../../linux/block.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { readMounted } from './actual.ts';
import { isGone, type Step } from './plan.ts';

/** Disks with a child process that hangs in the kernel: nothing is done for them until the kernel lets it go. */
export class StuckChildren {
  readonly #runDir: RunDir;
  readonly #onReleased: (disk: string) => void;
  /** The step that the child is for. */
  readonly #stuck = new Map<string, Step['do'] | 'ask'>();

  /** @param onReleased the disk of this name can be worked on again */
  constructor(runDir: RunDir, onReleased: (disk: string) => void) {
    this.#runDir = runDir;
    this.#onReleased = onReleased;
  }

  /** @param stuck resolves when the child has ended; undefined: none hangs */
  add(disk: string, doing: Step['do'] | 'ask', stuck: Promise<void> | undefined): void {
    if (!stuck) return;
    this.#stuck.set(disk, doing);
    void stuck.then(() => {
      this.#stuck.delete(disk);
      this.#onReleased(disk);
    });
  }

  /** A child that only asked a FUSE program blocks nothing once the disk is gone. */
  isBlocked(disk: string): boolean {
    const doing = this.#stuck.get(disk);
    if (doing !== 'ask') return doing !== undefined;
    const mounted = readMounted(this.#runDir).find(({ record }) => record.name === disk);
    return mounted !== undefined && !isGone(readBlockDevice(disk), mounted.record);
  }
}
