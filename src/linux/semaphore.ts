/** Limits concurrency; a slot frees after `patience` ms, so that nobody waits for what is stuck. */
export class Semaphore {
  readonly #patience: number;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(slots: number, patience: number) {
    this.#free = slots;
    this.#patience = patience;
  }

  /** Waits for a slot, first come, first served. The result releases it, and may be called more than once. */
  async acquire(): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let isHeld = true;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      clearTimeout(timer);
      // Handed on at once: nobody can slip in between.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    };
    const timer = setTimeout(release, this.#patience).unref();
    return release;
  }
}
