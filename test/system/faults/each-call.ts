import { expect } from 'vitest';
import { Random } from '../../random.ts';
import { SEED } from '../../settings.ts';
import type { CliProcess } from '../support/cli-process.ts';
import { until } from '../support/rig.ts';
import { SOAK } from '../support/suite.ts';
import { ERRORS, type Faults, FUNCTIONS } from './faults.ts';

/** s. What failed is tried again within a minute. */
const PATIENCE = 90;
/** How many calls of a function are made to fail, each in a round of its own; some are called thousands of times in one. */
const CALLS = SOAK ? 25 : 1;
/** ms. */
export const EACH_CALL_TIMEOUT = SOAK ? 3_600_000 : 600_000;
/** So many of the functions that are called, where the soak does not take all. */
const SAMPLE = 20;

type FunctionName = (typeof FUNCTIONS)[number];

/** What one test makes fail, by its name: a sample of all, or in the soak one function each, so that none's failure hides another's. */
export const SELECTIONS: readonly (readonly [string, readonly FunctionName[]])[] = SOAK
  ? FUNCTIONS.map((name) => [`a call of ${name}`, [name]])
  : [['any call', FUNCTIONS]];

/** A program whose calls are made to fail. */
export class FaultyProgram {
  readonly #program: CliProcess & { start(): Promise<unknown> };
  readonly #faults: Faults;

  constructor(program: CliProcess & { start(): Promise<unknown> }, faults: Faults) {
    this.#program = program;
    this.#faults = faults;
  }

  /** Waits until it is so. Where the program has ended, it has said why, and the next one goes on. */
  async reached(what: string, ask: () => boolean | Promise<boolean>): Promise<void> {
    try {
      await until(
        what,
        async () => {
          await this.#revive();
          return ask();
        },
        PATIENCE,
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.#lastWords}`, { cause: error });
    }
  }

  /**
   * Makes calls of a round fail, one in each round.
   * @param functions of which these are, as far as a round calls them
   * @param round leaves the state as it was, and throws where that is not reached
   */
  async failEachCall(functions: readonly FunctionName[], round: () => Promise<void>): Promise<void> {
    const random = new Random(SEED);
    const chosen = await this.#callsOf(functions, round);
    if (!SOAK) expect(chosen.length).toBeGreaterThan(15);
    while (chosen.length > SAMPLE) chosen.splice(random.below(chosen.length), 1);
    const report: string[] = [];
    let errors = SEED;
    for (const [name, count] of chosen) {
      const calls = count <= CALLS ? range(count) : Array.from({ length: CALLS }, () => 1 + random.below(count));
      for (const n of calls) {
        const error = ERRORS[errors++ % ERRORS.length] as (typeof ERRORS)[number];
        report.push(`${name} ${n} ${error}: ${await this.#fail(name, n, error, round)}`);
      }
    }
    process.stderr.write(`${report.join('\n')}\n`);
    if (!SOAK) expect(report.filter((line) => line.endsWith('not called')).length).toBeLessThan(report.length / 2);
  }

  /** Which of the functions a round calls, and how often. */
  async #callsOf(functions: readonly FunctionName[], round: () => Promise<void>): Promise<[FunctionName, number][]> {
    await round();
    const before = this.#faults.calls;
    await round();
    const { calls } = this.#faults;
    return functions
      .map((name): [FunctionName, number] => [name, (calls.get(name) ?? 0) - (before.get(name) ?? 0)])
      .filter(([, count]) => count > 0);
  }

  async #fail(
    name: FunctionName,
    n: number,
    error: (typeof ERRORS)[number],
    round: () => Promise<void>,
  ): Promise<string> {
    const { pid } = this.#program;
    this.#faults.arm(name, n, error);
    try {
      await round();
      if (!this.#faults.hasFired) return 'not called';
      return this.#program.pid === pid ? 'went on' : 'ended';
    } catch (cause) {
      throw new Error(`${name}, call ${n}, ${error}: ${(cause as Error).message}`, { cause });
    } finally {
      this.#faults.disarm();
    }
  }

  async #revive(): Promise<void> {
    if (!this.#program.hasEnded) return;
    // It may have ended after the round whose call failed: the log is never cleared.
    expect(this.#lastWords.split('\n').at(-1)).toMatch(/error: .*\b(E[A-Z]+|thread)\b/);
    this.#faults.disarm();
    await this.#program.start();
  }

  get #lastWords(): string {
    return this.#program.log.trimEnd().slice(-5000);
  }
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
