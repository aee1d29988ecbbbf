import type { BlockDevice } from '../../linux/block.ts';
import { getAttribute, setAttribute } from '../../linux/xattr.ts';
import type { RunDir } from '../run-dir/run-dir.ts';

/** On the run dir: the next daemon leaves the disk alone, too. */
const ATTRIBUTE = 'trusted.hotmount.ejected';

/** Disks that somebody has asked to have unmounted, and left alone until they are plugged in anew. */
export class Ejections {
  readonly #runDir: RunDir;
  /** Which medium, by the disk's name. */
  readonly #media: Map<string, string>;

  constructor(runDir: RunDir) {
    this.#runDir = runDir;
    const kept = getAttribute(`${runDir.work}/.`, ATTRIBUTE);
    // Only a daemon can write it.
    this.#media = new Map(kept === undefined ? [] : (JSON.parse(kept) as [string, string][]));
  }

  has(device: BlockDevice): boolean {
    return this.#media.get(device.name) === mediumOf(device);
  }

  /** @throws SystemCallError where it cannot be kept */
  add(devices: readonly BlockDevice[]): void {
    for (const device of devices) this.#media.set(device.name, mediumOf(device));
    this.#keep();
  }

  /** Once it has another medium, or none, a disk counts as ejected no more. @param now what it is now @throws SystemCallError */
  forgetUnlessSame(name: string, now: BlockDevice | undefined): void {
    if (!this.#media.has(name) || (now && now.size > 0 && this.has(now))) return;
    this.#media.delete(name);
    this.#keep();
  }

  #keep(): void {
    setAttribute(`${this.#runDir.work}/.`, ATTRIBUTE, JSON.stringify([...this.#media]));
  }
}

const mediumOf = ({ device, diskSequence }: BlockDevice): string => `${device} ${diskSequence}`;
