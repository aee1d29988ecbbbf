import type { Holder } from '../../linux/holders.ts';
import { Retry } from '../reconcile/retry.ts';
import { type HolderReport, reportHolder } from './identity.ts';

const REPORTS_KEPT = 20;
/** No event says that a file has been closed. ms. */
const ASK_AGAIN = { first: 1000, last: 30_000 };

/** Who holds what was taken away. */
export interface Held {
  readonly holders: readonly HolderReport[];
  /** Why that is not known yet: there may be others. */
  readonly holdersProblem?: string | undefined;
}

/** Which of these processes hold it; without any given, all that could. @throws Error where that cannot be told */
export type AskHolders = (pids?: readonly number[]) => Promise<readonly Holder[]>;

interface Entry<R> {
  report: R;
  readonly askHolders: AskHolders;
}

/** Asks for the first time. A failure must not keep anything from being taken away: it is part of the answer. */
export async function findHolders(askHolders: AskHolders): Promise<Held> {
  try {
    return { holders: (await askHolders()).map(reportHolder) };
  } catch (error) {
    return { holders: [], holdersProblem: (error as Error).message };
  }
}

/** @param problem why it is not known who holds it */
export const describeUnknown = (problem: string): string =>
  `who still has files open on it is not known yet (${problem}): hotmount status tells once it is`;

/** What was taken away last, and who still holds it, for as long as they do. */
export class HeldReports<R extends Held> {
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

  add(report: R, askHolders: Entry<R>['askHolders']): void {
    this.#entries = [{ report, askHolders }, ...this.#entries].slice(0, REPORTS_KEPT);
    this.#retry.set(this.#isHeld());
  }

  #isHeld(): boolean {
    return this.#entries.some(isHeld);
  }

  async #askAgain(): Promise<void> {
    for (const entry of this.#entries.filter(isHeld)) {
      const { holders, holdersProblem } = entry.report;
      const isUnknown = holdersProblem !== undefined;
      const now = await findHolders(() => entry.askHolders(isUnknown ? undefined : holders.map(({ pid }) => pid)));
      // Those that cannot be asked are asked again.
      if (now.holdersProblem !== undefined || (!isUnknown && now.holders.length === holders.length)) continue;
      entry.report = { ...entry.report, holders: now.holders, holdersProblem: undefined };
      if (now.holders.length === 0) this.#onReleased(entry.report);
    }
    this.#retry.set(this.#isHeld());
  }
}

const isHeld = ({ report }: Entry<Held>): boolean => report.holders.length > 0 || report.holdersProblem !== undefined;
