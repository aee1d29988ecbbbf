/**
 * Does something a while after what it is asked for has settled, and a while is bounded: however often it is asked for, each delay
 * ends after the first time, and begins again where it was asked for since.
 */
export class Debounce {
  readonly #delays: readonly number[];
  readonly #action: () => void;
  /** By delay, the timer and whether it was asked for since that began. */
  readonly #pending = new Map<number, { timer: NodeJS.Timeout; isAskedAgain: boolean }>();

  /** @param delays ms; the action is done after each of them */
  constructor(delays: readonly number[], action: () => void) {
    this.#delays = delays;
    this.#action = action;
  }

  ask(): void {
    for (const delay of this.#delays) {
      const pending = this.#pending.get(delay);
      if (pending) pending.isAskedAgain = true;
      else this.#begin(delay);
    }
  }

  clear(): void {
    for (const { timer } of this.#pending.values()) clearTimeout(timer);
    this.#pending.clear();
  }

  #begin(delay: number): void {
    const timer = setTimeout(() => {
      const isAskedAgain = this.#pending.get(delay)?.isAskedAgain;
      this.#pending.delete(delay);
      if (isAskedAgain) this.#begin(delay);
      this.#action();
    }, delay).unref();
    this.#pending.set(delay, { timer, isAskedAgain: false });
  }
}
