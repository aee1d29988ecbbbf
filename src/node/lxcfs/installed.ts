import { namespaceOf } from '../../linux/namespaces.ts';
import type { Logger } from '../../observability/logger.ts';
import type { LxcfsPolicy } from '../../policy/policy.ts';
import { type Cgroups, findCgroups } from './cgroups.ts';
import type { InstanceRecord } from './layout.ts';
import { findPrograms, fingerprintNow, type Program, placeOf, placesNow, Unfit } from './program.ts';

/** Failures of one program in a row, after which another is tried where there is one. */
const PATIENCE = 3;

/** Every lxcfs that this node has, and which of them is to be run. */
export class Installed {
  readonly #log: Logger;
  #programs: readonly Program[] = [];
  /** By fingerprint: those that no reader was content with. */
  readonly #unfit = new Set<string>();
  #failures = 0;
  #places = '';
  /** Undefined where there is none that will do. */
  program: Program | undefined;
  cgroups: Cgroups | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether there may be another one than at the last search. */
  get hasChanged(): boolean {
    return this.#places !== placesNow();
  }

  /** Searches for it again. @returns what is wrong, undefined where nothing is */
  async refresh(): Promise<string | undefined> {
    try {
      this.cgroups ??= findCgroups();
      this.#places = placesNow();
      this.#programs = await findPrograms();
      this.#choose();
      return undefined;
    } catch (error) {
      // An instance of a program that has been removed since goes on serving.
      this.program = undefined;
      if (!(error instanceof Unfit)) this.#log.debug({ err: error }, 'looking for lxcfs failed');
      return (error as Error).message;
    }
  }

  /** The newest that no reader has objected to, or the newest again. */
  #choose(): void {
    if (this.#programs.every((program) => this.#unfit.has(keyOf(program)))) this.#unfit.clear();
    const program = this.#programs.find((candidate) => !this.#unfit.has(keyOf(candidate)));
    if (program && (program.version !== this.program?.version || program.root !== this.program.root))
      this.#log.info({ program: placeOf(program), lxcfs: program.version }, 'found lxcfs');
    this.program = program;
  }

  works(): void {
    this.#failures = 0;
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
    this.#unfit.add(keyOf(program));
    this.#choose();
    return this.program !== undefined && !this.#unfit.has(keyOf(this.program)) && this.#unfit.size > 0;
  }

  /** Whether an instance runs what is installed now, and was started as it would be now. */
  isCurrent({ setup, fingerprint }: InstanceRecord, policy: LxcfsPolicy): boolean {
    return setup === setupFor(policy) && (!this.program || fingerprint === fingerprintNow(this.program, fingerprint));
  }
}

const keyOf = (program: Program): string => fingerprintNow(program, '');

/** What an instance is started with, and by whom: in a container of its own it ends with the container. */
export const setupFor = ({ views, onUntrue }: LxcfsPolicy): string =>
  JSON.stringify({ loadavg: views.includes('loadavg'), onUntrue, namespace: namespaceOf('self') });
