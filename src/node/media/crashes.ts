import { backOff } from '../reconcile/back-off.ts';

/** A disk whose FUSE program keeps dying. */
export interface Crashes {
  readonly times: number;
  /** ms until it may be mounted again. */
  readonly wait: number;
}

/** ms. The disk is not to blame for the death of a program that served for so long. */
const STEADY = 60_000;
/** ms */
const WAITS = { first: 2000, last: 300_000 };

/**
 * How often the FUSE programs of disks have died. After the first time a disk is mounted anew at once; after each further one it waits
 * twice as long: mounting what makes its program crash would otherwise go round for ever.
 */
export class CrashLog {
  readonly #now: () => number;
  readonly #disks = new Map<string, { times: number; until: number }>();

  /** @param now ms, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @param served for how long, in ms */
  died(disk: string, served: number): void {
    const before = served < STEADY ? (this.#disks.get(disk)?.times ?? 0) : 0;
    const times = before + 1;
    this.#disks.set(disk, { times, until: this.#now() + backOff(before, WAITS) });
  }

  /** Another medium, or none: what happened with the last one says nothing of the next. */
  forget(disk: string): void {
    this.#disks.delete(disk);
  }

  /** Undefined where it may be mounted now. */
  of(disk: string): Crashes | undefined {
    const known = this.#disks.get(disk);
    const wait = known ? known.until - this.#now() : 0;
    return known && wait > 0 ? { times: known.times, wait } : undefined;
  }
}
