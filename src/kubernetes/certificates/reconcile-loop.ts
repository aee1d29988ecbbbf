/** Runs one job again and again, and never twice at once: some time after the last run, and at once where something has happened. */
export class ReconcileLoop {
  /** Reconciles, and returns in how many milliseconds to do so again. Never rejects. */
  readonly #reconcile: () => Promise<number>;
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #happened = false;
  #closed = false;

  constructor(reconcile: () => Promise<number>) {
    this.#reconcile = reconcile;
  }

  /** Something has happened: a run begins after this, whatever is going on now. */
  trigger(): void {
    if (this.#running) this.#happened = true;
    else this.#runIn(0);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #runIn(ms: number): void {
    clearTimeout(this.#timer);
    if (!this.#closed) this.#timer = setTimeout(() => void this.#run(), ms).unref();
  }

  async #run(): Promise<void> {
    this.#running = true;
    this.#happened = false;
    const ms = await this.#reconcile();
    this.#running = false;
    this.#runIn(this.#happened ? 0 : ms);
  }
}
