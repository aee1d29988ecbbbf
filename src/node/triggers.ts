import { watchMountTable, watchSwaps } from '../linux/readiness.ts';
import type { UeventBatch } from '../linux/uevents.ts';
import type { Logger } from '../observability/logger.ts';
import type { Policy } from '../policy/index.ts';
import type { DeviceController } from './devices/controller.ts';
import { buttonPressed, concernedBy, listenToDevices } from './events.ts';
import type { LiveController } from './live/controller.ts';
import type { MediaController } from './media/controller.ts';
import type { PodTrees } from './media/pod-trees.ts';
import type { Attempts } from './reconcile/attempts.ts';
import { isReachable, type RunDir } from './run-dir/run-dir.ts';

/** Mounts and disks come and go in bursts, and what that means for other disks is not urgent. ms. */
const USAGE_SETTLE = 100;

export interface TriggerOptions {
  readonly runDir: RunDir;
  readonly media: MediaController;
  readonly devices: DeviceController;
  readonly live: LiveController;
  readonly podTrees: PodTrees;
  readonly attempts: Attempts;
  readonly policy: Policy;
  /** Bytes of the event socket's buffer. */
  readonly receiveBuffer: number | undefined;
  readonly onOverflow: () => void;
  readonly log: Logger;
}

export interface Triggers {
  /** Rejects when kernel events can no longer be received, or what is mounted no longer reaches pods. */
  readonly failed: Promise<never>;
  /** Listens for the devices that this policy's classes may take. */
  follow(policy: Policy): void;
  /** Something may be mounted, in use or annotated otherwise than before: all is looked at once that has settled. */
  readonly usageChanged: () => void;
  close(): void;
}

/**
 * Tells the controllers when to reconcile: at kernel events, and when the mount table or swap changes.
 * @throws SystemCallError, or Node's own error
 */
export function startTriggers(options: TriggerOptions): Triggers {
  const { runDir, media, devices, live, podTrees, attempts, log } = options;
  let settling: NodeJS.Timeout | undefined;
  const usageChanged = (): void => {
    settling ??= setTimeout(() => {
      settling = undefined;
      attempts.run('following the mount table', () => {
        if (!isReachable(runDir)) {
          fail(new Error(`the run dir ${runDir.path} has been unmounted, or covered: what is mounted reaches no pod`));
          return;
        }
        media.mountsChanged();
        devices.mountsChanged();
        live.mountsChanged();
        podTrees.look();
      });
    }, USAGE_SETTLE);
  };
  const resync = (): void => {
    attempts.run('the resync of devices', () => devices.resync());
    attempts.run('the resync of disks', () => media.resync());
  };
  const dispatch = ({ events, overflow, receivedAt }: UeventBatch): void => {
    for (const event of events) {
      const { disks, devices: keys, added } = concernedBy(event);
      for (const key of keys) devices.enqueue(key, receivedAt);
      for (const disk of disks) disk === added ? media.added(disk, receivedAt) : media.enqueue(disk, receivedAt);
      const drive = buttonPressed(event);
      if (drive !== undefined) media.buttonPressed(drive);
    }
    // What was built on a disk, or showed it, may have gone.
    if (events.some(({ subsystem }) => subsystem === 'block')) usageChanged();
    if (overflow) {
      options.onOverflow();
      log.warn('the kernel had to drop events: resync of all disks and devices');
      resync();
    }
  };
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  // The caller awaits `failed` only later: until then, a rejection is not unhandled.
  failed.catch(() => {});
  const listener = listenToDevices(options.policy, {
    receiveBuffer: options.receiveBuffer,
    onBatch: (batch) => attempts.run('kernel events', () => dispatch(batch), resync),
    onFollowed: () => devices.resync(),
    onFailure: (error) => fail(new Error(`kernel events are not heard any more: ${error.message}`, { cause: error })),
  });
  const unwatchMounts = watchMountTable(usageChanged);
  const unwatchSwaps = watchSwaps(usageChanged);
  return {
    failed,
    follow: (policy) => listener.follow(policy),
    usageChanged,
    close() {
      clearTimeout(settling);
      listener.close();
      unwatchMounts();
      unwatchSwaps();
    },
  };
}
