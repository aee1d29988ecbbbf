import type { Probe } from '../../linux/blkid.ts';
import type { BlockDevice } from '../../linux/block.ts';
import { nameCandidates } from '../block/names.ts';
import type { Finding } from '../reasons.ts';
import type { Mounted, MountRecord } from './actual.ts';
import { type DesiredMount, desire, type MediaFacts } from './desired.ts';
import type { PodTree } from './pod-trees.ts';

/** The next thing to do about one disk; after it, plan again. */
export type Step =
  | { readonly do: 'probe' }
  | { readonly do: 'mount'; readonly desired: DesiredMount }
  | { readonly do: 'make-twin'; readonly mounted: Mounted }
  /** To pods with users of their own. */
  | { readonly do: 'show'; readonly mounted: Mounted; readonly to: readonly PodTree[] }
  /** `gone`: the medium, or what serves it, is no longer there, so that nothing can be written back. */
  | { readonly do: 'unmount'; readonly mounted: Mounted; readonly gone: boolean }
  | { readonly do: 'nothing'; readonly outcome: Mounted | Finding | undefined };

/**
 * Compares one disk as it is with how it should be. Pure.
 * @param mounted where it is mounted now; more than one place only where something went wrong before
 */
export function plan(
  device: BlockDevice | undefined,
  mounted: readonly Mounted[],
  probe: Probe | undefined,
  facts: MediaFacts,
): Step {
  const [first, ...surplus] = mounted;
  if (!device) return first ? { do: 'unmount', mounted: first, gone: true } : { do: 'nothing', outcome: undefined };
  if (!first) {
    const state = desire(device, probe, facts);
    if (state.kind === 'probe') return { do: 'probe' };
    return state.kind === 'mount' ? { do: 'mount', desired: state.desired } : { do: 'nothing', outcome: state.finding };
  }

  const { record } = first;
  const gone = isGone(device, record) || facts.serverDied === true;
  if (gone) return { do: 'unmount', mounted: first, gone };
  const [second] = surplus;
  if (second) return { do: 'unmount', mounted: second, gone: false };
  // Goes by the probe from before the mount: a label that changes since does not take the disk from its users.
  const known: Probe = { outcome: 'found', fileSystem: record.fileSystem };
  const state = desire(device, known, {
    ...facts,
    use: undefined,
    crashes: undefined,
    arePartitionsEmpty: () => true,
  });
  if (state.kind !== 'mount' || !isAsWanted(first, state.desired)) return { do: 'unmount', mounted: first, gone };
  if (first.twin.length === 0) return { do: 'make-twin', mounted: first };
  const shown = new Set(first.views.map(({ tree }) => tree));
  const to = facts.podTrees?.(first.className).filter(({ tree }) => !shown.has(tree)) ?? [];
  if (to.length > 0) return { do: 'show', mounted: first, to };
  return { do: 'nothing', outcome: first };
}

/** Whether the medium that was mounted is no longer there: the disk, or one that it is built on, has gone, has none, or has another. */
export const isGone = (device: BlockDevice | undefined, record: MountRecord): boolean =>
  !device ||
  device.size === 0 ||
  device.isSevered ||
  device.device !== record.device ||
  device.diskSequence !== record.sequence;

/** Whether the disk's name still stands for the medium that was probed. */
export const isSameMedium = (before: BlockDevice, now: BlockDevice | undefined): boolean =>
  now?.device === before.device && now.diskSequence === before.diskSequence && now.size === before.size;

function isAsWanted({ className, directory, record, main, twin }: Mounted, desired: DesiredMount): boolean {
  const { label, uuid } = record.fileSystem;
  return (
    main.length === 1 &&
    twin.length <= 1 &&
    className === desired.className &&
    record.options.join() === (record.dirty?.isUnwritable ? desired.readOnlyOptions : desired.options)?.join() &&
    record.owner?.uid === desired.owner?.uid &&
    record.owner?.gid === desired.owner?.gid &&
    nameCandidates({ label, uuid, devname: record.name }, desired.nameBy).some((name) => name === directory)
  );
}
