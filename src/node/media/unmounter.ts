import { existsSync } from 'node:fs';
import type { Logger } from '../../observability/logger.ts';
import { describeHolder, type HolderReport, reportHolder } from '../containers/identity.ts';
import type { Finding, NodeReason } from '../reasons.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import type { Mounted } from './actual.ts';
import type { Attempt } from './mount.ts';
import { detachCopies, unmountDisk } from './unmount.ts';

/** A disk that was unmounted lately. */
export interface UnmountReport {
  readonly name: string;
  readonly className: string;
  readonly directory: string;
  readonly at: string;
  readonly holders: readonly HolderReport[];
}

export interface UnmounterOptions {
  readonly runDir: RunDir;
  readonly log: Logger;
}

const REPORTS_KEPT = 20;

/** Some container may have it still. */
const COPIES_LEFT: ReadonlySet<NodeReason> = new Set(['still_visible', 'unclear_whether_gone']);

/** Unmounts disks, and records the last ones and who still holds them. */
export class Unmounter {
  readonly #options: UnmounterOptions;
  /** The last one first. */
  readonly reports: UnmountReport[] = [];

  /** Disks that some container may have still: the numbers of their devices, by name. */
  readonly #left = new Map<string, string>();

  constructor(options: UnmounterOptions) {
    this.#options = options;
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
    if (!device || device.startsWith('0:') || existsSync(`/sys/dev/block/${device}`)) return undefined;
    const finding = await detachCopies(device);
    if (finding) this.#left.set(name, device);
    return finding;
  }

  async unmount(name: string, mounted: Mounted, gone: boolean): Promise<Attempt> {
    const { runDir, log } = this.#options;
    const { className, directory } = mounted;
    const { finding, holders, stuck, lost } = await unmountDisk(runDir, mounted, gone);
    if (finding && COPIES_LEFT.has(finding.reason)) this.#left.set(name, mounted.main[0]?.device ?? '');
    if (lost !== undefined) {
      log.error({ disk: name }, `what was written to it last may be lost, for it could not be written back: ${lost}`);
    }
    if (finding?.reason === 'unmount_failed') return { finding, stuck };
    const reports = holders.map(reportHolder);
    this.reports.unshift({ name, className, directory, at: new Date().toISOString(), holders: reports });
    this.reports.length = Math.min(this.reports.length, REPORTS_KEPT);
    log.info({ disk: name, class: className, directory, gone }, 'unmounted');
    for (const report of reports) {
      log.warn({ disk: name, ...report }, `the disk is ${gone ? 'gone' : 'unmounted'}, and ${describeHolder(report)}`);
    }
    return { finding, stuck };
  }
}
