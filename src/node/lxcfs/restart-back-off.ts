import { backOff } from '../reconcile/back-off.ts';

/** ms after failed starts. */
const START_LIMITS = { first: 100, last: 30_000 };
/** So many deaths in so many ms are a habit, and then each restart waits for so long. */
const DEATHS_ALLOWED = 60;
const WINDOW = 60_000;
const HABIT_WAIT = 2000;

/**
 * When an lxcfs may be started again. Starting that fails waits longer each time. An instance that worked and then died is restarted
 * at once, unless that has become a habit: containers are better served by a restart than by patience.
 */
export class RestartBackOff {
  readonly #now: () => number;
  #failures = 0;
  #deaths: number[] = [];
  #until = 0;

  /** @param now ms, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** ms until the next try may be made; 0: now. */
  get wait(): number {
    return Math.max(0, this.#until - this.#now());
  }

  failed(): void {
    this.#until = this.#now() + backOff(++this.#failures, START_LIMITS);
  }

  succeeded(): void {
    this.#failures = 0;
  }

  died(): void {
    const now = this.#now();
    this.#deaths = [...this.#deaths.filter((at) => at > now - WINDOW), now];
    if (this.#deaths.length > DEATHS_ALLOWED) this.#until = Math.max(this.#until, now + HABIT_WAIT);
  }
}
