import type { Holder } from '../../linux/holders.ts';
import type { Logger } from '../../observability/logger.ts';
import { type HolderReport, reportHolder } from '../containers/identity.ts';
import { Retry } from '../reconcile/retry.ts';

/** A disk that went, lately. */
export interface UnmountReport {
  readonly name: string;
  readonly className: string;
  readonly directory: string;
  readonly at: string;
  /** Who still has files open on it. */
  readonly holders: readonly HolderReport[];
}

const REPORTS_KEPT = 20;
/** No event says that a file has been closed. ms. */
const ASK_AGAIN = { first: 1000, last: 30_000 };

interface Entry {
  report: UnmountReport;
  readonly askHolders: (pids: readonly number[]) => Promise<Holder[]>;
}

/** The last disks that went, and who still holds them, for as long as they do. */
export class UnmountReports {
  readonly #log: Logger;
  readonly #onReleased: (name: string) => void;
  /** The last one first. */
  #entries: Entry[] = [];
  readonly #retry = new Retry(() => void this.#askAgain(), ASK_AGAIN);

  /** @param onReleased nobody holds the disk of this name any more */
  constructor(log: Logger, onReleased: (name: string) => void) {
    this.#log = log;
    this.#onReleased = onReleased;
  }

  get all(): readonly UnmountReport[] {
    return this.#entries.map(({ report }) => report);
  }

  /** @param askHolders which of these processes still hold it */
  add(report: UnmountReport, askHolders: Entry['askHolders']): void {
    this.#entries = [{ report, askHolders }, ...this.#entries].slice(0, REPORTS_KEPT);
    this.#retry.set(this.#isHeld());
  }

  #isHeld(): boolean {
    return this.#entries.some(({ report }) => report.holders.length > 0);
  }

  async #askAgain(): Promise<void> {
    for (const entry of this.#entries.filter(({ report }) => report.holders.length > 0)) {
      const { name, holders } = entry.report;
      // Where they cannot be asked, they are asked again.
      const still = await entry.askHolders(holders.map(({ pid }) => pid)).catch(() => holders);
      if (still.length === holders.length) continue;
      entry.report = { ...entry.report, holders: still.map(reportHolder) };
      if (still.length > 0) continue;
      this.#log.info({ disk: name }, 'nobody has files open any more on the disk that went');
      this.#onReleased(name);
    }
    this.#retry.set(this.#isHeld());
  }
}
