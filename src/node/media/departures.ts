import type { Logger } from '../../observability/logger.ts';
import { describeHolder, type HolderReport, reportHolder } from '../containers.ts';
import type { RunDir } from '../run-dir.ts';
import type { Mounted } from './actual.ts';
import type { Attempt } from './mount.ts';
import { unmountDisk } from './unmount.ts';

/** A disk that went, lately. */
export interface DepartureReport {
  readonly name: string;
  readonly className: string;
  readonly directory: string;
  readonly at: string;
  readonly holders: readonly HolderReport[];
}

export interface DepartureOptions {
  readonly runDir: RunDir;
  readonly log: Logger;
}

const REPORTS_KEPT = 20;

/** Unmounts disks, and keeps account of the last ones and of who still holds them. */
export class Departures {
  readonly #options: DepartureOptions;
  /** The last one first. */
  readonly reports: DepartureReport[] = [];

  constructor(options: DepartureOptions) {
    this.#options = options;
  }

  async unmount(name: string, mounted: Mounted, gone: boolean): Promise<Attempt> {
    const { runDir, log } = this.#options;
    const { className, directory } = mounted;
    const { finding, holders, stuck } = await unmountDisk(runDir, mounted, gone);
    const reports = holders.map(reportHolder);
    this.reports.unshift({ name, className, directory, at: new Date().toISOString(), holders: reports });
    this.reports.length = Math.min(this.reports.length, REPORTS_KEPT);
    log.info({ disk: name, class: className, directory, gone }, 'unmounted');
    for (const report of reports) {
      log.warn({ disk: name, ...report }, `the disk is gone, and ${describeHolder(report)}`);
    }
    return { finding, stuck };
  }
}
