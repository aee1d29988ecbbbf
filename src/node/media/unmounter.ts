import type { BlockDevice } from '../../linux/block.ts';
import { exists } from '../../linux/exists.ts';
import type { Logger } from '../../observability/logger.ts';
import { describeUnknown, type HeldReports } from '../containers/held-reports.ts';
import { describeHolder } from '../containers/identity.ts';
import type { Finding, NodeReason } from '../reasons.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import type { Mounted } from './actual.ts';
import type { Attempt } from './run-mount.ts';
import { detachCopies, unmountDisk } from './unmount.ts';
import { createUnmountReports, type UnmountReport } from './unmount-reports.ts';

export interface UnmounterOptions {
  readonly runDir: RunDir;
  readonly log: Logger;
  /** Nobody holds the disk of this name any more. */
  readonly onReleased: (disk: string) => void;
}

/** Some container may have it still. */
const COPIES_LEFT: ReadonlySet<NodeReason> = new Set(['still_visible', 'unclear_whether_gone']);

/** Unmounts disks, and records the last ones and who still holds them. */
export class Unmounter {
  readonly #options: UnmounterOptions;
  readonly #reports: HeldReports<UnmountReport>;

  /** Disks that some container may have still: the numbers of their devices, by name. */
  readonly #left = new Map<string, string>();

  /** Number and sequence of the medium, by the disk's name. */
  readonly #unmounted = new Map<string, string>();

  constructor(options: UnmounterOptions) {
    this.#options = options;
    this.#reports = createUnmountReports(options.log, options.onReleased);
  }

  /** The last one first. */
  get reports(): readonly UnmountReport[] {
    return this.#reports.all;
  }

  /**
   * Takes a disk that has gone out of containers where that failed before.
   * @returns why some may have it still
   */
  async detachAgain(name: string): Promise<Finding | undefined> {
    const device = this.#left.get(name);
    this.#left.delete(name);
    // A disk keeps its number while it is mounted anywhere. If there is one by that number again, it is another; and the numbers of
    // file systems that have none of a device (btrfs) are given anew at once.
    if (!device || device.startsWith('0:') || exists(`/sys/dev/block/${device}`)) return undefined;
    const finding = await detachCopies(device);
    if (finding) this.#left.set(name, device);
    return finding;
  }

  /** Whether what is in this disk is what was unmounted last by its name: not another medium, as far as the kernel tells. */
  isSameMedium({ name, device, diskSequence }: BlockDevice): boolean {
    return diskSequence > 0 && this.#unmounted.get(name) === `${device} ${diskSequence}`;
  }

  async unmount(name: string, mounted: Mounted, gone: boolean): Promise<Attempt> {
    const { runDir, log } = this.#options;
    const { className, directory, record } = mounted;
    this.#unmounted.set(name, `${record.device} ${record.sequence}`);
    const { finding, held, askHolders, stuck, lost } = await unmountDisk(runDir, mounted, gone);
    if (finding && COPIES_LEFT.has(finding.reason)) this.#left.set(name, mounted.main[0]?.device ?? '');
    if (lost !== undefined) {
      log.error({ disk: name }, `what was written to it last may be lost, for it could not be written back: ${lost}`);
    }
    if (finding?.reason === 'unmount_failed') return { finding, stuck };
    this.#reports.add({ name, className, directory, at: new Date().toISOString(), ...held }, askHolders);
    log.info({ disk: name, class: className, directory, gone }, 'unmounted');
    const what = `the disk is ${gone ? 'gone' : 'unmounted'}`;
    for (const report of held.holders) log.warn({ disk: name, ...report }, `${what}, and ${describeHolder(report)}`);
    if (held.holdersProblem !== undefined)
      log.warn({ disk: name }, `${what}, and ${describeUnknown(held.holdersProblem)}`);
    return { finding, stuck };
  }
}
