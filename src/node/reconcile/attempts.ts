import type { Logger } from '../../observability/logger.ts';
import { Retry } from './retry.ts';

/** ms. */
const DELAYS = { first: 1000, last: 60_000 };

interface Attempt {
  readonly retry: Retry;
  action: () => void;
  problem: string | undefined;
}

/**
 * Runs what an event, a timer or a policy asks for. An action that throws, such as for a lack of descriptors or of space in the run dir,
 * is logged and tried again, ever more rarely: it neither ends the process nor is forgotten.
 */
export class Attempts {
  readonly #log: Logger;
  readonly #attempts = new Map<string, Attempt>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** What has failed, and will be tried again. */
  get problems(): string[] {
    return [...this.#attempts.values()].flatMap(({ problem }) => problem ?? []);
  }

  /**
   * @param what for people; a later call of the same name takes the place of an earlier one that is still to be tried again
   * @param again what to do instead at the next try
   */
  run(what: string, action: () => void, again: () => void = action): void {
    const attempt = this.#attempts.get(what) ?? this.#add(what);
    attempt.action = again;
    this.#try(what, attempt, action);
  }

  close(): void {
    for (const { retry } of this.#attempts.values()) retry.set(false);
  }

  #add(what: string): Attempt {
    const attempt: Attempt = {
      retry: new Retry(() => this.#try(what, attempt, attempt.action), DELAYS),
      action: () => {},
      problem: undefined,
    };
    this.#attempts.set(what, attempt);
    return attempt;
  }

  #try(what: string, attempt: Attempt, action: () => void): void {
    try {
      action();
      if (attempt.problem !== undefined) this.#log.info(`${what}: it has succeeded now`);
      attempt.problem = undefined;
    } catch (error) {
      const problem = `${what}: ${(error as Error).message}`;
      if (attempt.problem !== problem)
        this.#log.error({ err: error }, `${problem}; it is tried again, within a minute`);
      attempt.problem = problem;
    }
    attempt.retry.set(attempt.problem !== undefined);
  }
}
