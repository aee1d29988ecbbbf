import type { FileSystem } from '../../linux/blkid.ts';
import type { BlockDevice } from '../../linux/block.ts';
import type { MediaClass, MediaMatch } from '../../policy/index.ts';
import { is, isDisk, isHardware } from '../block/match.ts';

/**
 * The first class that takes the disk. Without `fileSystem`, the first one that could: what is on a disk is probed only where some
 * class might take it.
 */
export function classOf(
  classes: readonly MediaClass[],
  device: BlockDevice,
  fileSystem: FileSystem | undefined,
  fixed: boolean,
): MediaClass | undefined {
  return classes.find(({ match }) =>
    match.some((entry) => isDisk(entry, device, fixed) && matches(entry, device, fileSystem)),
  );
}

function matches(entry: MediaMatch, device: BlockDevice, fileSystem: FileSystem | undefined): boolean {
  return (
    isHardware(entry, device) &&
    (fileSystem === undefined ||
      (is(entry.fsType, fileSystem.type) && is(entry.label, fileSystem.label) && is(entry.uuid, fileSystem.uuid)))
  );
}
