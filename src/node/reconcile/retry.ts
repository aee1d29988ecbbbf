/** Tries again what did not come to its end and has no event that would say when: ever more rarely, for as long as that is so. */
export class Retry {
  readonly #action: () => void;
  readonly #first: number;
  readonly #last: number;
  #delay: number;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param action calls {@link set} again when it is known what came of it
   * @param first ms until the first try; each further one takes twice as long
   * @param last ms, and not longer than this
   */
  constructor(action: () => void, { first, last }: { readonly first: number; readonly last: number }) {
    this.#action = action;
    this.#first = first;
    this.#last = last;
    this.#delay = first;
  }

  /** @param isNeeded false: all is well, and the next failure starts anew; true: one that is due already stays as it is */
  set(isNeeded: boolean): void {
    if (!isNeeded) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#delay = this.#first;
    } else if (!this.#timer) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#action();
      }, this.#delay).unref();
      this.#delay = Math.min(this.#delay * 2, this.#last);
    }
  }
}
