import type { FileSystem } from '../../linux/blkid.ts';
import type { BlockDevice } from '../../linux/block.ts';
import { SYSTEM_PARTITIONS } from '../../linux/partition-table.ts';
import type { MediaClass, MediaMatch } from '../../policy/index.ts';
import { is, isDisk, isHardware } from '../block/match.ts';

/**
 * The first class that takes the disk. Without `fileSystem`, the first one that could: what is on a disk is probed only where some
 * class might take it.
 * @param systemPartitions whether a class takes partitions that are, or may be, for firmware, boot loaders and rescue, although it does not ask for
 * them
 */
export function classOf(
  classes: readonly MediaClass[],
  device: BlockDevice,
  fileSystem: FileSystem | undefined,
  fixed: boolean,
  systemPartitions = false,
): MediaClass | undefined {
  return classes.find(({ match }) =>
    match.some((entry) => isDisk(entry, device, fixed) && matches(entry, device, fileSystem, systemPartitions)),
  );
}

/** Whether some class may want what is pushed into the drive: of what size and with what on it, nobody knows yet. */
export const couldTake = (classes: readonly MediaClass[], drive: BlockDevice, fixed: boolean): boolean =>
  classes.some(({ match }) =>
    match.some((entry) => isDisk({ removable: entry.removable }, drive, fixed) && isHardware(entry, drive)),
  );

function matches(
  entry: MediaMatch,
  device: BlockDevice,
  fileSystem: FileSystem | undefined,
  systemPartitions: boolean,
): boolean {
  return (
    isHardware(entry, device) &&
    (fileSystem === undefined ||
      (is(entry.fsType, fileSystem.type) &&
        is(entry.label, fileSystem.label) &&
        is(entry.uuid, fileSystem.uuid) &&
        isPartition(entry, fileSystem, systemPartitions)))
  );
}

/** Of a type that could not be read, only whoever asks for every type takes it. */
function isPartition(
  { partType: globs }: MediaMatch,
  { partType, partTypeProblem }: FileSystem,
  systemPartitions: boolean,
): boolean {
  if (partTypeProblem !== undefined) return systemPartitions || globs?.every((glob) => glob === '*') === true;
  if (globs !== undefined) return is(globs, partType ?? '');
  return systemPartitions || partType === undefined || !Object.hasOwn(SYSTEM_PARTITIONS, partType);
}
