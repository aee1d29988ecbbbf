import { blockDeviceNames, readBlockDevice } from '../../linux/block.ts';
import { getAttribute, setAttribute } from '../../linux/xattr.ts';
import type { RunDir } from './run-dir.ts';

const BOOT_SEQUENCE = 'trusted.hotmount.boot-sequence';

/**
 * The highest sequence number of a disk when the run dir was made: at the node's start, or when hotmount was installed. It is kept with
 * the run dir, so that later daemons go by the same.
 */
export function bootSequence(runDir: RunDir): number {
  const kept = getAttribute(`${runDir.work}/.`, BOOT_SEQUENCE);
  if (kept !== undefined) return Number(kept);
  const sequences = blockDeviceNames().map((name) => readBlockDevice(name)?.diskSequence ?? 0);
  const highest = Math.max(0, ...sequences);
  setAttribute(`${runDir.work}/.`, BOOT_SEQUENCE, String(highest));
  return highest;
}
