/** Timers that end together. */
export class Timers {
  readonly #timers = new Set<NodeJS.Timeout>();

  /** @param delay ms */
  after(delay: number, job: () => void): () => void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      job();
    }, delay);
    this.#timers.add(timer);
    return () => {
      clearTimeout(timer);
      this.#timers.delete(timer);
    };
  }

  /** @param interval ms */
  every(interval: number, job: () => void): void {
    this.after(interval, () => {
      job();
      this.every(interval, job);
    });
  }

  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
