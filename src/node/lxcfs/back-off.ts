/**
 * When to try again. Starting that fails waits longer each time, up to half a minute. An instance that worked and then died is started
 * again at once, unless that has become a habit: containers are better served by a restart than by patience.
 */
export class BackOff {
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
    this.#until = this.#now() + Math.min(MAX_WAIT, FIRST_WAIT * 2 ** this.#failures++);
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

const FIRST_WAIT = 100;
const MAX_WAIT = 30_000;
const WINDOW = 60_000;
const DEATHS_ALLOWED = 60;
const HABIT_WAIT = 2000;
