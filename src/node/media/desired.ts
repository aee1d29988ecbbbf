import { type FileSystem, PROBE_DEADLINE, type Probe } from '../../linux/blkid.ts';
import type { BlockDevice } from '../../linux/block.ts';
import { SYSTEM_PARTITIONS } from '../../linux/partition-table.ts';
import { FILE_SYSTEM_NAMES, hasOwners, type MediaClass, mountOptions, type Owner } from '../../policy/index.ts';
import { OPEN_DEADLINE } from '../block/exclusive-opener.ts';
import { isFixed } from '../block/match.ts';
import type { DiskUse } from '../containers/disk-usage.ts';
import { type Finding, finding } from '../reasons.ts';
import type { Crashes } from './crashes.ts';
import { classOf, couldTake } from './match.ts';
import type { PodTree } from './pod-trees.ts';

/** How a disk should be mounted. */
export interface DesiredMount {
  readonly className: string;
  readonly fileSystem: FileSystem;
  /** All options of mount(8). */
  readonly options: readonly string[];
  /** The same, for a dirty disk that cannot be written; undefined where that is not to be mounted. */
  readonly readOnlyOptions?: readonly string[] | undefined;
  readonly nameBy: MediaClass['mount']['nameBy'];
  /** To whom the files of the disk's root are shown to belong, by an idmapped mount. */
  readonly owner?: Owner | undefined;
}

/** What should be done with a disk. */
export type DesiredState =
  | { readonly kind: 'mount'; readonly desired: DesiredMount }
  | { readonly kind: 'leave'; readonly finding: Finding }
  /** Some class may take it: what is on it has to be known first. */
  | { readonly kind: 'probe' };

export interface MediaFacts {
  readonly classes: readonly MediaClass[];
  /** Disks up to this sequence number were there before hotmount was. */
  readonly bootSequence: number;
  /** Asked for only where it matters. */
  readonly use?: (() => DiskUse | undefined) | undefined;
  /** The device class that gives it, or the disk that it is a part of, to containers as a raw device. Asked for where it matters. */
  readonly rawClass?: (() => string | undefined) | undefined;
  /** Whether none of its partitions holds anything that is mounted. Asked for only of a disk that has some. */
  readonly arePartitionsEmpty?: (() => boolean) | undefined;
  /** Somebody has asked for it to be unmounted, and left alone. */
  readonly isEjected?: boolean;
  /** The FUSE program that it is mounted by has died. */
  readonly serverDied?: boolean;
  /** Of pods with users of their own that have the class. */
  readonly podTrees?: ((className: string) => readonly PodTree[]) | undefined;
  /** FUSE programs of it have died again and again: it is not mounted yet. */
  readonly crashes?: Crashes | undefined;
}

/** Whether a disk should be mounted, and how. Pure. */
export function desire(device: BlockDevice, probe: Probe | undefined, facts: MediaFacts): DesiredState {
  const { classes, bootSequence, crashes } = facts;
  const fixed = isFixed(device, bootSequence);
  if (device.size === 0) return emptyDrive(device, probe, facts, fixed);
  if (device.isSevered) return leave(finding('severed', { slaves: device.slaves.join(', ') }));
  if (facts.isEjected) return leave(finding('ejected', {}));
  const hasPartitions = device.partitions.length > 0;
  const partitions = device.partitions.join(', ');
  if (hasPartitions && !facts.arePartitionsEmpty?.()) return leave(finding('has_partitions', { partitions }));
  const fileSystem = probe?.outcome === 'found' ? probe.fileSystem : undefined;
  const mediaClass = classOf(classes, device, fileSystem, fixed);
  if (!mediaClass) return leave(withoutClass(device, fileSystem, classes, fixed));
  // See DiskClaims.
  const rawClass = facts.rawClass?.();
  if (rawClass !== undefined) return leave(finding('raw_device', { class: rawClass }));
  if (crashes) {
    const [times, seconds] = [crashes.times, Math.ceil(crashes.wait / 1000)].map(String) as [string, string];
    return leave(finding('server_crashes', { times, seconds }));
  }
  const use = facts.use?.();
  if (use) return leave(inUse(use));
  if (!probe) return { kind: 'probe' };
  if (hasPartitions && !IMAGES.has(fileSystem?.type ?? '')) return leave(finding('has_partitions', { partitions }));
  if (!fileSystem) return leave(unreadable(probe, device));
  const unmountable = notMountable(fileSystem);
  if (unmountable) return leave(unmountable);
  const readOnly = mediaClass.mount.readOnly || device.readOnly;
  const owner = mediaClass.mount.owner ?? (device.removable && !readOnly ? DEFAULT_OWNER : undefined);
  const options = mountOptions(fileSystem.type, { ...mediaClass.mount, owner, readOnly });
  const ifDirty =
    readOnly || mediaClass.mount.ifDirty === 'fail' ? undefined : { ...mediaClass.mount, owner, readOnly: true };
  return {
    kind: 'mount',
    desired: {
      className: mediaClass.name,
      fileSystem,
      options,
      ...(ifDirty ? { readOnlyOptions: mountOptions(fileSystem.type, ifDirty) } : {}),
      nameBy: mediaClass.mount.nameBy,
      ...(owner && owner.uid + owner.gid > 0 && hasOwners(fileSystem.type) ? { owner } : {}),
    },
  };
}

/** Whether a disk would be mounted if nobody used it. Pure. */
export const isWanted = (
  device: BlockDevice,
  probe: Probe,
  classes: readonly MediaClass[],
  bootSequence: number,
): boolean => desire(device, probe, { classes, bootSequence, arePartitionsEmpty: () => true }).kind === 'mount';

/** File systems of discs: an image of one that is written to a stick has a partition table beside them, for firmware to boot from. */
const IMAGES: ReadonlySet<string> = new Set(['iso9660', 'udf']);

/**
 * Without a medium, as far as sysfs knows. The kernel reads the size of a card that was pushed in when somebody opens the drive
 * (`disk_check_media_change`): where a class could take it, the probe does.
 */
function emptyDrive(
  device: BlockDevice,
  probe: Probe | undefined,
  { classes, rawClass }: MediaFacts,
  fixed: boolean,
): DesiredState {
  const isToBeOpened = !probe && device.removable && !device.isPartition && couldTake(classes, device, fixed);
  return isToBeOpened && rawClass?.() === undefined ? { kind: 'probe' } : leave(finding('no_medium', {}));
}

const leave = (found: Finding): DesiredState => ({ kind: 'leave', finding: found });

/**
 * What most images run as that do not run as root. A stick's root directory belongs to root, mostly, so that nobody else could write to it,
 * and whoever uses it in a pod cannot change that; root in a pod may do so all the same.
 */
const DEFAULT_OWNER = { uid: 1000, gid: 1000 };

/** Why no class takes the disk. Where one would if something else was on it, what is on it says more. */
function withoutClass(
  device: BlockDevice,
  fileSystem: FileSystem | undefined,
  classes: readonly MediaClass[],
  fixed: boolean,
): Finding {
  const ifAsked = classOf(classes, device, fileSystem, fixed, true);
  if (ifAsked && fileSystem?.partTypeProblem !== undefined) {
    return finding('partition_type_unread', { detail: fileSystem.partTypeProblem, class: ifAsked.name });
  }
  const partition = SYSTEM_PARTITIONS[fileSystem?.partType ?? ''];
  if (ifAsked && partition) {
    return finding('system_partition', { partition, type: fileSystem?.partType ?? '', class: ifAsked.name });
  }
  const ifMovable = fixed ? classOf(classes, device, fileSystem, false) : undefined;
  if (ifMovable) return finding('fixed_disk', { class: ifMovable.name });
  if (!fileSystem) return finding('no_class', { content: '' });
  return notMountable(fileSystem) ?? finding('no_class', { content: `, with the ${fileSystem.type} that is on it` });
}

/** Why it cannot be mounted, whatever a class says; undefined where it can. blkid takes parts of a ZFS pool for file systems. */
function notMountable({ type, usage }: FileSystem): Finding | undefined {
  if (usage === 'crypto') return finding('encrypted', { type });
  if (usage !== 'filesystem' || type.endsWith('_member')) return finding('not_a_file_system', { type });
  if (FILE_SYSTEM_NAMES.includes(type)) return undefined;
  return finding('file_system_unknown', { type, known: FILE_SYSTEM_NAMES.join(', ') });
}

function inUse(use: DiskUse): Finding {
  if (use.kind === 'swap') return finding('swap', { device: use.device });
  if (use.kind === 'holders') return finding('has_holders', { holders: use.holders.join(', ') });
  if (use.kind === 'btrfs') return finding('btrfs_member', { device: use.device, uuid: use.uuid });
  if (use.kind === 'loop') return finding('backs_loop_device', { device: use.device, loop: use.loop });
  if (use.kind === 'held') return finding('held_exclusively', {});
  if (use.kind === 'hangs') return finding('device_hangs', { command: 'open', seconds: String(OPEN_DEADLINE / 1000) });
  const where = use.pid === undefined ? '' : ` in the mount namespace of process ${use.pid}`;
  return finding('mounted_elsewhere', { device: use.device, path: use.path, where });
}

function unreadable(probe: Probe, { isPartition }: BlockDevice): Finding {
  if (probe.outcome === 'hung') {
    return finding('device_hangs', { command: 'blkid', seconds: String(PROBE_DEADLINE / 1000) });
  }
  if (probe.outcome === 'no-medium') return finding('no_medium', {});
  if (probe.outcome === 'failed') return finding('probe_failed', { detail: probe.detail });
  if (probe.outcome === 'ambiguous') return finding('ambiguous', {});
  const table = probe.outcome === 'nothing' && !isPartition ? probe.table : undefined;
  return table === undefined ? finding('no_file_system', {}) : finding('no_partitions', { table });
}
