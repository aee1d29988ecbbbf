import { namespaceOf } from '../../linux/namespaces.ts';
import type { Logger } from '../../observability/logger.ts';
import type { LxcfsPolicy } from '../../policy/policy.ts';
import { backOff } from '../reconcile/back-off.ts';
import { type Cgroups, findCgroups } from './cgroups.ts';
import type { InstanceRecord } from './layout.ts';
import { findPrograms, fingerprintNow, type Program, placeOf, placesNow, Unfit } from './program.ts';

/** Failures of one program in a row, after which another is tried where there is one. */
const PATIENCE = 3;
const UNFIT = Number.POSITIVE_INFINITY;
/** ms after which a program that failed is tried again. */
const RETRY = { first: 300_000, last: 7_200_000 };
/** ms after which one is asked again that did not say what it is: on a busy node it may have had no time to. */
const ASK_AGAIN = { first: 15_000, last: 7_200_000 };

/** Every lxcfs that this node has, and which of them is to be run. */
export class Installed {
  readonly #log: Logger;
  #programs: readonly Program[] = [];
  /** By fingerprint: how many views it does not tell the truth in, as a reader has seen; UNFIT where it does not work at all. */
  readonly #flaws = new Map<string, number>();
  #failures = 0;
  /** What is to be tried again, by fingerprint, or SEARCH: how often it has failed, and when, in ms of `performance.now()`. */
  readonly #retries = new Map<string, { readonly failures: number; readonly at: number }>();
  #places = '';
  /** Undefined where there is none that will do. */
  program: Program | undefined;
  cgroups: Cgroups | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether there may be another one than at the last search. */
  get hasChanged(): boolean {
    return [...this.#retries.values()].some(({ at }) => at <= performance.now()) || this.#places !== placesNow();
  }

  /** Searches for it again. @returns what is wrong, undefined where nothing is */
  async refresh(): Promise<string | undefined> {
    try {
      this.cgroups ??= findCgroups();
      this.#places = placesNow();
      const { programs, problems } = await findPrograms();
      this.#programs = programs;
      if (problems.length === 0) this.#retries.delete(SEARCH);
      else this.#leaveOut(problems);
      this.#allowRetries();
      this.#choose();
      return undefined;
    } catch (error) {
      // An instance of a program that has been removed since goes on serving.
      this.program = undefined;
      if (!(error instanceof Unfit)) this.#log.debug({ err: error }, 'looking for lxcfs failed');
      return (error as Error).message;
    }
  }

  #leaveOut(problems: readonly Error[]): void {
    if (!this.#retries.has(SEARCH))
      for (const { message } of problems) this.#log.warn(`${message}: it is left out, and asked again in a while`);
    this.#retryLater(SEARCH);
  }

  #retryLater(what: string): void {
    const failures = (this.#retries.get(what)?.failures ?? 0) + 1;
    this.#retries.set(what, {
      failures,
      at: performance.now() + backOff(failures, what === SEARCH ? ASK_AGAIN : RETRY),
    });
  }

  /** Programs whose time has come are as good as new. */
  #allowRetries(): void {
    for (const [what, { failures, at }] of this.#retries) {
      if (what === SEARCH || at > performance.now()) continue;
      this.#flaws.delete(what);
      this.#retries.set(what, { failures, at: UNFIT });
    }
  }

  /** The one with the fewest flaws, the newest of several. Each is tried before one with a flaw is settled for. */
  #choose(): void {
    if (this.#programs.every((program) => this.#flawsOf(program) === UNFIT)) this.#flaws.clear();
    const [program] = this.#programs.toSorted((a, b) => this.#flawsOf(a) - this.#flawsOf(b));
    if (program && (program.version !== this.program?.version || program.root !== this.program.root))
      this.#log.info({ program: placeOf(program), lxcfs: program.version }, 'found lxcfs');
    this.program = program;
  }

  #flawsOf(program: Program): number {
    return this.#flaws.get(keyOf(program)) ?? 0;
  }

  /**
   * An instance got ready.
   * @param flaws views in which it tells the node's values, or that it does not serve
   */
  works({ fingerprint }: InstanceRecord, flaws: number): void {
    this.#failures = 0;
    const program = this.#programs.find((candidate) => fingerprint === fingerprintNow(candidate, fingerprint));
    if (!program) return;
    this.#flaws.set(keyOf(program), flaws);
    this.#retries.delete(keyOf(program));
    this.#choose();
  }

  /**
   * An instance of the program did not get ready.
   * @param isUnfit a reader was told what it should not be, and another try would not change that
   * @returns whether there is another one to be tried now
   */
  failed(program: Program, isUnfit: boolean): boolean {
    this.#failures++;
    if (!isUnfit && this.#failures < PATIENCE) return false;
    this.#failures = 0;
    this.#flaws.set(keyOf(program), UNFIT);
    if (!isUnfit) this.#retryLater(keyOf(program));
    this.#choose();
    return this.program !== undefined && this.#flaws.size > 0;
  }

  /** Whether an instance runs what is installed now, and was started as it would be now. */
  isCurrent({ setup, fingerprint }: InstanceRecord, policy: LxcfsPolicy): boolean {
    return setup === setupFor(policy) && (!this.program || fingerprint === fingerprintNow(this.program, fingerprint));
  }
}

const SEARCH = '';
const keyOf = (program: Program): string => fingerprintNow(program, '');

/** What an instance is started with, and by whom: in a container of its own it ends with the container. */
export const setupFor = ({ views, onUntrue }: LxcfsPolicy): string =>
  JSON.stringify({ loadavg: views.includes('loadavg'), onUntrue, namespace: ownNamespace() });

/** It never changes, and a failing look would have every instance replaced. */
let namespace: string | undefined;
function ownNamespace(): string | undefined {
  namespace ??= namespaceOf('self');
  return namespace;
}
