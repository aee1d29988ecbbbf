/**
 * Lets a few through at a time, so that a crowd does not make everyone miss their deadlines; but nobody is kept waiting by one who is
 * stuck: after `patience` ms it does not count any more.
 */
export class Turnstile {
  readonly #slots: number;
  readonly #patience: number;
  #inside = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(slots: number, patience: number) {
    this.#slots = slots;
    this.#patience = patience;
  }

  /** Waits for a turn; the result gives it back, and may be called more than once. */
  async enter(): Promise<() => void> {
    if (this.#inside < this.#slots) this.#inside++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let left = false;
    const leave = (): void => {
      if (left) return;
      left = true;
      clearTimeout(timer);
      const next = this.#waiting.shift();
      // The turn is handed on: nobody can slip in between.
      if (next) next();
      else this.#inside--;
    };
    const timer = setTimeout(leave, this.#patience);
    timer.unref();
    return leave;
  }
}
