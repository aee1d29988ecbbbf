import type { Holder } from '../../linux/holders.ts';
import { Retry } from '../reconcile/retry.ts';
import { type HolderReport, reportHolder } from './identity.ts';

const REPORTS_KEPT = 20;
/** No event says that a file has been closed. ms. */
const ASK_AGAIN = { first: 1000, last: 30_000 };

interface Entry<R> {
  report: R;
  readonly askHolders: (pids: readonly number[]) => Promise<Holder[]>;
}

/** What was taken away last, and who still holds it, for as long as they do. */
export class HeldReports<R extends { readonly holders: readonly HolderReport[] }> {
  readonly #onReleased: (report: R) => void;
  /** The last one first. */
  #entries: Entry<R>[] = [];
  readonly #retry = new Retry(() => void this.#askAgain(), ASK_AGAIN);

  /** @param onReleased nobody holds it any more */
  constructor(onReleased: (report: R) => void) {
    this.#onReleased = onReleased;
  }

  get all(): readonly R[] {
    return this.#entries.map(({ report }) => report);
  }

  /** @param askHolders which of these processes still hold it */
  add(report: R, askHolders: Entry<R>['askHolders']): void {
    this.#entries = [{ report, askHolders }, ...this.#entries].slice(0, REPORTS_KEPT);
    this.#retry.set(this.#isHeld());
  }

  #isHeld(): boolean {
    return this.#entries.some(({ report }) => report.holders.length > 0);
  }

  async #askAgain(): Promise<void> {
    for (const entry of this.#entries.filter(({ report }) => report.holders.length > 0)) {
      const { holders } = entry.report;
      // Where they cannot be asked, they are asked again.
      const still = await entry.askHolders(holders.map(({ pid }) => pid)).catch(() => holders);
      if (still.length === holders.length) continue;
      entry.report = { ...entry.report, holders: still.map(reportHolder) };
      if (still.length === 0) this.#onReleased(entry.report);
    }
    this.#retry.set(this.#isHeld());
  }
}
