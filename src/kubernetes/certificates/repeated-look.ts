/** Runs one job again and again, and never twice at once: some time after the last run, and at once where something has happened. */
export class RepeatedLook {
  /** Looks, and returns in how many milliseconds to look again. Never rejects. */
  readonly #look: () => Promise<number>;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #happened = false;
  #closed = false;

  constructor(look: () => Promise<number>) {
    this.#look = look;
  }

  /** Something has happened: a look begins after this, whatever is going on now. */
  lookNow(): void {
    if (this.#looking) this.#happened = true;
    else this.#lookIn(0);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer);
    if (!this.#closed) this.#timer = setTimeout(() => void this.#run(), ms).unref();
  }

  async #run(): Promise<void> {
    this.#looking = true;
    this.#happened = false;
    const ms = await this.#look();
    this.#looking = false;
    this.#lookIn(this.#happened ? 0 : ms);
  }
}
