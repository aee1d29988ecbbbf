import type { BlockDevice } from '../../linux/block.ts';

/**
 * What ties media and devices together: a disk that a device class claims is given to containers raw, and so must not be mounted. Whoever may
 * write to a disk raw can turn its file system into anything, while the kernel trusts what it has read.
 *
 * The device controller makes the claims, the media controller respects them, and neither knows the other.
 */
export class DiskClaims {
  #claimant: (disk: BlockDevice) => string | undefined = () => undefined;
  #release: (disk: string) => void = () => {};

  /** @param claimant names the device class that claims a disk, or the whole disk of which it is a partition */
  claimBy(claimant: (disk: BlockDevice) => string | undefined): void {
    this.#claimant = claimant;
  }

  /** @param release unmounts the disk of this name, if it is claimed */
  releaseBy(release: (disk: string) => void): void {
    this.#release = release;
  }

  /** The device class that claims the disk, if one does. */
  claimOn(disk: BlockDevice): string | undefined {
    return this.#claimant(disk);
  }

  /** A claimed disk is still mounted. */
  requestRelease(disk: string): void {
    this.#release(disk);
  }
}
