import type { Mount } from '../../linux/mountinfo.ts';
import { isWithoutReplay } from '../../policy/index.ts';
import type { MountRecord } from './actual.ts';
import type { Dirt } from './dirt.ts';

/** What is to be known of a disk that is mounted. The code is the word in the log and the metric label; the sentence is for a person. */
export const MEDIA_NOTES = {
  journal_not_replayed:
    'it is mounted read-only without replaying its journal, so that not a byte of it changes: where it was pulled while it was written to, the last changes are missing',
  dirty:
    'its last user did not leave it in order, or it has errors: what was written to it last may be damaged. Unmount it (hotmount eject) and check it with fsck, or in Windows with chkdsk /f',
  dirty_read_only:
    'its driver does not write to it, mostly since its last user did not leave it in order: it is mounted read-only. Check it with fsck, or in Windows with chkdsk /f; where Windows has hibernated, shut that down with fast startup off; then plug it in anew',
  too_new:
    'its file system has features that this kernel can read but not write, so it is mounted read-only. Use a newer kernel, or make the file system without them',
  turned_read_only:
    'the kernel made it read-only after an error: what is written to it fails. Unmount it, check it with fsck, and replace it where that finds bad blocks; the kernel log says what the error was',
  owner_not_shown:
    'its file system, or this node, has no idmapped mounts, so that its files belong to whom they belong to on the disk: a pod that does not run as root may not be able to write to it',
} as const;

export type MediaNoteReason = keyof typeof MEDIA_NOTES;

export interface MediaNote {
  readonly reason: MediaNoteReason;
  readonly message: string;
}

/**
 * What the kernel made of a file system that met an error: `emergency_ro` and `shutdown` of ext4 (Linux 6.15), of btrfs and older kernels
 * `ro`, although nobody asked for it.
 */
const BROKEN = ['ro', 'emergency_ro', 'shutdown'];

/** Whether the kernel has made it read-only by itself. @param mount as it is now */
export const isBroken = ({ options }: Pick<MountRecord, 'options'>, mount: Pick<Mount, 'superOptions'>): boolean =>
  !options.includes('ro') && mount.superOptions.some((option) => BROKEN.includes(option));

function dirtNote({ isUnwritable, isTooNew, words }: Dirt): MediaNote {
  const ofDirt = isUnwritable ? 'dirty_read_only' : 'dirty';
  const reason = isTooNew ? 'too_new' : ofDirt;
  return { reason, message: [MEDIA_NOTES[reason], words].filter(Boolean).join('; ') };
}

/** @param mount as it is now, undefined where it has gone */
export function notesOn(record: MountRecord, mount: Pick<Mount, 'options' | 'superOptions'> | undefined): MediaNote[] {
  const reasons: MediaNoteReason[] = [];
  if (isWithoutReplay(record.fileSystem.type, record.options)) reasons.push('journal_not_replayed');
  if (mount && isBroken(record, mount)) reasons.push('turned_read_only');
  if (mount && record.owner && !mount.options.includes('idmapped')) reasons.push('owner_not_shown');
  const plain = reasons.map((reason) => ({ reason, message: MEDIA_NOTES[reason] }));
  return record.dirty ? [dirtNote(record.dirty), ...plain] : plain;
}
