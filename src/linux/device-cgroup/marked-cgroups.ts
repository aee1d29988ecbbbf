import { isErrno } from '../errors.ts';
import { failure, isGone } from './controller.ts';
import { childrenOf } from './hierarchy.ts';
import type { Refusal } from './reasons.ts';

/** The kernel has nothing of what would be asked about: there can be none. */
const NOT_BUILT_IN = ['ENOSYS', 'EINVAL'];

/**
 * The cgroups of a hierarchy that carry something of ours. They are found by reading all of them once; from then on, only this process
 * adds to them. A cgroup that cannot be asked may carry something: it stays in doubt, and is asked again next time. Only one
 * that has gone (ENOENT, ENODEV) carries nothing.
 */
export class MarkedCgroups {
  readonly #isMarked: (path: string) => boolean;
  readonly #marked = new Set<string>();
  /** Subtrees that are still to be asked, and what kept them from it. */
  readonly #inDoubt = new Map<string, unknown>();

  /** @param isMarked may throw */
  constructor(directory: string, isMarked: (path: string) => boolean) {
    this.#isMarked = isMarked;
    this.#inDoubt.set(directory, undefined);
  }

  /** Those that are known, after another try at those in doubt. */
  find(): Set<string> {
    for (const path of [...this.#inDoubt.keys()]) {
      this.#inDoubt.delete(path);
      this.#walk(path);
    }
    return this.#marked;
  }

  /** Why some could not be asked: one refusal for all of them, by the first one's path. Empty where none is in doubt. */
  get refusals(): Map<string, Refusal> {
    const [first] = this.#inDoubt;
    if (!first) return new Map();
    const [path, error] = first;
    const others = this.#inDoubt.size > 1 ? `, and ${this.#inDoubt.size - 1} more` : '';
    const detail = `whether ${path}${others}, carries grants of earlier daemons could not be read: ${(error as Error).message}`;
    return new Map([[path, failure('revoke_failed', path, new Error(detail, { cause: error }))]]);
  }

  #walk(path: string): void {
    try {
      if (this.#asks(path)) this.#marked.add(path);
      for (const name of childrenOf(path)) this.#walk(`${path}/${name}`);
    } catch (error) {
      if (!isGone(error)) this.#inDoubt.set(path, error);
    }
  }

  #asks(path: string): boolean {
    try {
      return this.#isMarked(path);
    } catch (error) {
      if (isErrno(error, ...NOT_BUILT_IN)) return false;
      throw error;
    }
  }
}
