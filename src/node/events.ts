import { basename, dirname } from 'node:path';
import { partitionsOf, readBlockDevice } from '../linux/block.ts';
import { asKey, type DeviceKey, eventKey } from '../linux/device.ts';
import type { Uevent } from '../linux/uevent.ts';
import { listenForUevents, type UeventBatch, type UeventListener } from '../linux/uevents.ts';
import type { Policy } from '../policy/index.ts';
import { subsystemsOf } from './devices/match.ts';

/** What an event is a reason to look at: disks by name, devices by key. */
export interface Concerned {
  readonly disks: readonly string[];
  readonly devices: readonly DeviceKey[];
}

export function concernedBy(event: Uevent): Concerned {
  const key = eventKey(event);
  const devices = key ? [key] : [];
  const { action, subsystem, devpath, env } = event;
  if (subsystem !== 'block') return { disks: [], devices };
  const name = basename(devpath);
  // A disk with partitions is another matter than one without, and the kernel says nothing of the disk when one comes.
  if (env['DEVTYPE'] === 'partition') return { disks: [name, basename(dirname(devpath))], devices };
  if (action !== 'change') return { disks: [name], devices };
  // Nor does it say anything of partitions when a card is pulled from its reader: those in use it cannot take away, and leaves as they
  // are (bdev_disk_changed in block/partitions/core.c).
  const partitions = partitionsOf(name);
  const keys = partitions.flatMap((partition) => asKey(`b${readBlockDevice(partition)?.device}`) ?? []);
  return { disks: [name, ...partitions], devices: [...devices, ...keys] };
}

export interface ListenOptions {
  /** Bytes of the event socket's buffer. */
  readonly receiveBuffer?: number | undefined;
  readonly onBatch: (batch: UeventBatch) => void;
  /** It listens to what another policy takes now: what came meanwhile, a look finds. */
  readonly onFollowed: () => void;
  /** Nothing is heard any more. */
  readonly onFailure: (error: Error) => void;
}

/** Hears of the devices that the policy's classes may take: which subsystems that are may change with the policy. */
export async function listenToDevices(
  policy: Policy,
  { receiveBuffer, onBatch, onFollowed, onFailure }: ListenOptions,
): Promise<{ follow(policy: Policy): void; close(): Promise<void> }> {
  const subsystemsFor = ({ deviceClasses }: Policy): string[] | undefined => {
    const named = subsystemsOf(deviceClasses);
    return named && [...new Set(['block', ...named])].sort();
  };
  const listen = (subsystems: string[] | undefined): Promise<UeventListener> =>
    listenForUevents(
      {
        ...(subsystems ? { subsystems } : {}),
        nodesOnly: true,
        watchMounts: true,
        ...(receiveBuffer === undefined ? {} : { receiveBuffer }),
      },
      onBatch,
      onFailure,
    );
  let subsystems = subsystemsFor(policy);
  let listener = listen(subsystems);
  await listener;
  return {
    follow(next) {
      const wanted = subsystemsFor(next);
      if (wanted?.join() === subsystems?.join()) return;
      subsystems = wanted;
      // The next one listens before the last one ends. What came before, and the last one had no ear for, a look finds.
      listener = listener.then(async (old) => {
        const fresh = await listen(wanted);
        await old.close();
        onFollowed();
        return fresh;
      });
      listener.catch(onFailure);
    },
    close: async () => (await listener).close(),
  };
}
