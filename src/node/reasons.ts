/**
 * Why the daemon does with a disk or device what it does. The code is the word in the log, the metric label and `hotmount status`; the sentence,
 * filled in, is what a person reads.
 *
 * skipped  it is left alone, as it should be
 * failed   it should be mounted, or unmounted, and is not; tried again when something about it changes
 */
export const MEDIA_REASONS = {
  no_medium: skipped('there is no medium in it'),
  ejected: skipped('it has been ejected, and is mounted when it is plugged in anew'),
  severed: skipped(
    'it is built on {slaves}, of which something has been pulled: close it on the node (cryptsetup close, dmsetup remove, vgchange -an, mdadm --stop)',
  ),
  has_partitions: skipped('it has partitions ({partitions}), and those are looked at instead'),
  no_class: skipped('no media class of the policy matches it{content}'),
  system_partition: skipped(
    'it is {partition} (type {type}): media class {class} takes it if its match names that as `partType`',
  ),
  fixed_disk: skipped(
    'it was there before hotmount and cannot be taken out, and media class {class} does not say `removable: false` in its match',
  ),
  raw_device: skipped('device class {class} gives it to containers as a raw device'),
  has_holders: skipped(
    '{holders} is built on it (LVM, RAID, encryption or multipath): what is on that is mounted instead, where a class takes it',
  ),
  swap: skipped('the node swaps to {device}'),
  mounted_elsewhere: skipped('{device} is mounted at {path}{where}: unmount it there, if hotmount is to have it'),
  btrfs_member: skipped(
    '{device} belongs to the btrfs {uuid}, which is mounted already: a btrfs on several disks is mounted once, as a whole',
  ),
  backs_loop_device: skipped('{loop} shows what is on {device}: use that, or detach it with losetup -d'),
  held_exclusively: skipped(
    'the kernel or some program holds it exclusively: another file system’s journal is on it, ZFS, RAID or bcache has it, a tool such as mkfs is at work, or files of the medium before it are still open. It is mounted when it is free',
  ),
  no_file_system: skipped('there is no file system on it'),
  no_partitions: skipped(
    'it has a partition table ({table}) in which the kernel finds no partition: the table is empty, damaged (gdisk can restore it from its backup), or was written for sectors of another size, in a USB enclosure for instance',
  ),
  encrypted: skipped(
    'it is encrypted ({type}), and hotmount has no keys: open it on the node (cryptsetup open), and the device that this makes is mounted where a class takes it (bus: [dm])',
  ),
  not_a_file_system: skipped(
    'it holds {type}, which is no file system: put LVM, RAID, ZFS or bcache together on the node, and what that makes is mounted where a class takes it',
  ),
  file_system_unknown: skipped('it holds {type}, which hotmount does not mount: it mounts {known}'),
  ambiguous: skipped('it carries the signatures of several file systems: remove the wrong ones with wipefs(8)'),

  probe_failed: failed('it could not be read: {detail}'),
  partition_type_unread: failed(
    'the partition table of its disk could not be read ({detail}), and it may be for firmware, boot or rescue: media class {class} takes it all the same if its match says `partType: ["*"]`',
  ),
  device_hangs: failed('{command} did not end within {seconds} s: the device does not answer'),
  mount_failed: failed('it could not be mounted: {detail}'),
  driver_missing: failed(
    'neither the kernel nor a FUSE program on this node can mount {type}: load the kernel’s module, or install {helpers}',
  ),
  server_crashes: failed(
    'the FUSE program that served it has died {times} times: it is mounted again in {seconds} s, or when the disk is plugged in anew',
  ),
  owner_failed: failed(
    'its files could not be shown as those of {owner}, to whom they belong by its media class, so that it is not mounted: {detail}; it is tried again',
  ),
  view_failed: failed(
    'it could not be shown to pod {pod}, which has users of its own: {detail}; other pods have it, and it is tried again',
  ),
  twin_failed: failed('its read-only twin could not be made: {detail}'),
  unmount_failed: failed('it could not be unmounted: {detail}'),
  still_visible: failed('it is unmounted here, and process {pid} still has it mounted at {path}: {detail}'),
  unclear_whether_gone: failed(
    'it is unmounted here; whether a container still has it mounted could not be seen, because processes came and went too fast',
  ),
  run_dir_failed: failed('what it takes below {path} could not be made: {detail}'),
  unexpected: failed('it could not be reconciled: {detail}'),
} as const;

/** The same for raw devices. */
export const DEVICE_REASONS = {
  fixed_device: skipped(
    'it was there before hotmount and cannot be taken out, and device class {class} does not say `removable: false` in its match',
  ),
  in_use_by_node: skipped('{device} is mounted at {path}, and whoever writes to it raw destroys what is on it'),
  in_use_by_container: skipped(
    '{device} is mounted at {path} in the mount namespace of process {pid}, and whoever writes to it raw destroys what is on it: within a minute of being unmounted there, it is looked at again',
  ),
  in_use_as_swap: skipped('the node swaps to {device}'),
  built_on: skipped('{holders} is built on it (LVM, RAID, encryption or multipath)'),
  in_use_by_btrfs: skipped(
    '{device} belongs to the btrfs {uuid}, which is mounted, and whoever writes to it raw destroys what is on it',
  ),
  in_use_by_loop_device: skipped('{loop} shows what is on {device}: detach it with losetup -d first'),
  in_use_exclusively: skipped(
    'the kernel or some program holds it exclusively (another file system’s journal, ZFS, RAID, bcache, a tool such as mkfs): within a minute of being free, it is given',
  ),
  being_asked: skipped('whether somebody holds it exclusively is being asked'),
  unclear_whether_in_use: failed(
    'whether somebody uses it could not be seen, for processes came and went too fast, or none could be started: it is looked at again',
  ),
} as const;

const NODE_REASONS = { ...MEDIA_REASONS, ...DEVICE_REASONS } as const;

export type NodeReason = keyof typeof NODE_REASONS;

type Placeholders<S extends string> = S extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;

export interface Finding {
  readonly kind: 'skipped' | 'failed';
  readonly reason: NodeReason;
  readonly message: string;
}

export function finding<R extends NodeReason>(
  reason: R,
  parameters: { readonly [P in Placeholders<(typeof NODE_REASONS)[R]['sentence']>]: string },
): Finding {
  const { kind, sentence } = NODE_REASONS[reason];
  const message = sentence.replace(
    /\{(\w+)\}/g,
    (_, name: string) => (parameters as Readonly<Record<string, string>>)[name] ?? '',
  );
  return { kind, reason, message };
}

function skipped<const S extends string>(sentence: S) {
  return { kind: 'skipped', sentence } as const;
}

function failed<const S extends string>(sentence: S) {
  return { kind: 'failed', sentence } as const;
}
