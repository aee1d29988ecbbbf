import { type BackOffLimits, backOff } from './back-off.ts';

/** Retries, on a timer and ever more rarely, what failed and has no event that would say when to try again. */
export class Retry {
  readonly #action: () => void;
  readonly #limits: BackOffLimits;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param action calls {@link set} again when its result is known */
  constructor(action: () => void, limits: BackOffLimits) {
    this.#action = action;
    this.#limits = limits;
  }

  /** @param isNeeded true: schedules a try, unless one is scheduled already; false: cancels it, and the next failure starts anew */
  set(isNeeded: boolean): void {
    if (!isNeeded) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#failures = 0;
    } else if (!this.#timer) {
      const delay = backOff(++this.#failures, this.#limits);
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#action();
      }, delay).unref();
    }
  }
}
