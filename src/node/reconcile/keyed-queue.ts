/**
 * Runs a job for each key that is asked for: never two at a time for one key, any number for different keys, and once more where it
 * was asked for while it ran. However often it is asked for, one more run sees it all.
 */
export class KeyedQueue<K> {
  readonly #job: (key: K) => Promise<void>;
  readonly #running = new Map<K, { again: boolean; readonly done: PromiseWithResolvers<void> }>();
  #idle = Promise.withResolvers<void>();

  /** @param job must not reject */
  constructor(job: (key: K) => Promise<void>) {
    this.#job = job;
    this.#idle.resolve();
  }

  request(key: K): void {
    const running = this.#running.get(key);
    if (running) running.again = true;
    else void this.#run(key);
  }

  isRunning(key: K): boolean {
    return this.#running.has(key);
  }

  /** Resolves when nothing is running for this key. */
  async settled(key: K): Promise<void> {
    await this.#running.get(key)?.done.promise;
  }

  /** Resolves when nothing is running. */
  idle(): Promise<void> {
    return this.#idle.promise;
  }

  async #run(key: K): Promise<void> {
    if (this.#running.size === 0) this.#idle = Promise.withResolvers();
    const state = { again: false, done: Promise.withResolvers<void>() };
    this.#running.set(key, state);
    do {
      state.again = false;
      await this.#job(key);
    } while (state.again);
    this.#running.delete(key);
    state.done.resolve();
    if (this.#running.size === 0) this.#idle.resolve();
  }
}
