import { readBlockDevice } from '../../linux/block.ts';
import type { Mount } from '../../linux/mountinfo.ts';
import { type Mounted, mountsOf } from './actual.ts';
import { isServed } from './fuse.ts';
import type { MediaState } from './state.ts';

/**
 * The disks that are not mounted as they were.
 * @param mounts all that there are now
 * @param mounted those of them that are disks'
 */
export function disksThatChanged(
  states: ReadonlyMap<string, MediaState>,
  mounts: readonly Mount[],
  mounted: readonly Mounted[],
): string[] {
  const present = new Set(mounts.map(({ id }) => id));
  const counts = new Map<string, number>();
  for (const one of mounted) {
    counts.set(one.record.name, (counts.get(one.record.name) ?? 0) + mountsOf(one).length);
  }
  const known = [...states].flatMap(([name, state]) =>
    state.kind === 'mounted' ? [[name, state.mounted] as const] : [],
  );
  const changed = known.filter(([name, before]) => {
    const ours = mountsOf(before);
    const isIntact = ours.every(({ id }) => present.has(id));
    const isAsBefore = isIntact && counts.get(name) === ours.length;
    // No table and no event tells that a FUSE program has died: it is asked at every opportunity.
    return !isAsBefore || isServed(before) || readBlockDevice(name)?.isSevered;
  });
  const strange = [...counts.keys()].filter((name) => !states.has(name));
  return [...changed.map(([name]) => name), ...strange];
}
