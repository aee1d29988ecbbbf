import { runChild } from '../../linux/child.ts';
import { patient } from '../../linux/slowness.ts';

/** ms */
const DEADLINE = patient(10_000);

/**
 * Has the kernel look at a disk's partition table again, which an image that was written to it may have brought: `dd` does not ask for it, and
 * udevd does so in its place. Where that fails, as it does for a disk in use and one that can have no partitions, everything stays as it was.
 * @param path of the whole disk
 */
export async function rereadPartitions(path: string): Promise<void> {
  await runChild('blockdev', ['--rereadpt', path], { deadline: DEADLINE }).catch(() => {});
}
