import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attribute } from './sysfs.ts';

/** ms. */
const INTERVAL = 1000;
const DEFAULT = 'module/block/parameters/events_dfl_poll_msecs';

/**
 * Has the kernel ask a drive every second whether its medium is another (`events_poll_msecs` in Documentation/ABI/stable/sysfs-block). By
 * default it does not, until udevd sets another default; then, nothing tells of a card that is pushed in. An interval that somebody has set
 * for this drive stays.
 * @param drive the kernel's name of a whole disk
 * @throws Node's error where sysfs cannot be written
 */
export function pollMedium(drive: string, sysfs = '/sys'): void {
  const path = join(sysfs, 'class/block', drive);
  const tells = (name: string): boolean => attribute(path, name).split(' ').includes('media_change');
  if (!tells('events') || tells('events_async') || attribute(path, 'events_poll_msecs') !== '-1') return;
  const before = Number(attribute(sysfs, DEFAULT));
  if (before === 0 || before > INTERVAL) writeFileSync(join(path, 'events_poll_msecs'), String(INTERVAL));
}
