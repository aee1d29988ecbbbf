import { basename, dirname } from 'node:path';
import { partitionsOf, readBlockDevice } from '../linux/block.ts';
import { asKey, type DeviceKey, eventKey } from '../linux/device.ts';
import type { Uevent } from '../linux/uevent.ts';
import { listenForUevents, type UeventBatch } from '../linux/uevents.ts';
import type { Policy } from '../policy/index.ts';
import { subsystemsOf } from './devices/match.ts';

/** What to reconcile after an event: disks by name, devices by key. */
export interface Concerned {
  readonly disks: readonly string[];
  readonly devices: readonly DeviceKey[];
  /** The disk that the kernel has just made. */
  readonly added?: string | undefined;
}

export function concernedBy(event: Uevent): Concerned {
  const key = eventKey(event);
  const devices = key ? [key] : [];
  const { action, subsystem, devpath, env } = event;
  if (subsystem !== 'block') return { disks: [], devices };
  const name = basename(devpath);
  // `udevadm trigger` has such events sent of disks that have long been there.
  const added = action === 'add' && env['SYNTH_UUID'] === undefined ? name : undefined;
  // A disk with partitions is another matter than one without, and the kernel says nothing of the disk when one comes.
  if (env['DEVTYPE'] === 'partition') return { disks: [name, basename(dirname(devpath))], devices, added };
  if (action !== 'change') return { disks: [name], devices, added };
  // Nor does it say anything of partitions when a card is pulled from its reader: those in use it cannot take away, and leaves as they
  // are (bdev_disk_changed in block/partitions/core.c).
  const partitions = partitionsOf(name);
  const keys = partitions.flatMap((partition) => asKey(`b${readBlockDevice(partition)?.device}`) ?? []);
  return { disks: [name, ...partitions], devices: [...devices, ...keys] };
}

/** The drive whose button somebody has pressed: while its disc is mounted it is locked, and can only ask (disk_events in block/disk-events.c). */
export const buttonPressed = ({ subsystem, devpath, env }: Uevent): string | undefined =>
  subsystem === 'block' && env['DISK_EJECT_REQUEST'] === '1' ? basename(devpath) : undefined;

export interface ListenOptions {
  /** Bytes of the event socket's buffer. */
  readonly receiveBuffer?: number | undefined;
  readonly onBatch: (batch: UeventBatch) => void;
  /** Events of more subsystems, or of others, are heard now: a resync finds what they said before. */
  readonly onFollowed: () => void;
  /** Nothing is heard any more. */
  readonly onFailure: (error: Error) => void;
}

/**
 * Listens for events of the devices that the policy's classes may take. Their subsystems may change with the policy.
 * @throws SystemCallError if the socket cannot be opened
 */
export function listenToDevices(
  policy: Policy,
  { receiveBuffer, onBatch, onFollowed, onFailure }: ListenOptions,
): { follow(policy: Policy): void; close(): void } {
  let subsystems = subsystemsFor(policy);
  const isWanted = ({ subsystem, env }: Uevent): boolean =>
    env['DEVNAME'] !== undefined && (!subsystems || subsystems.has(subsystem));
  const listener = listenForUevents(
    { isWanted, ...(receiveBuffer === undefined ? {} : { receiveBuffer }) },
    onBatch,
    onFailure,
  );
  return {
    follow(next) {
      const before = subsystems;
      subsystems = subsystemsFor(next);
      if (before && !(subsystems?.isSubsetOf(before) ?? false)) onFollowed();
    },
    close: () => listener.close(),
  };
}

/** Undefined: all. */
function subsystemsFor({ deviceClasses }: Policy): ReadonlySet<string> | undefined {
  const named = subsystemsOf(deviceClasses);
  return named && new Set(['block', ...named]);
}
