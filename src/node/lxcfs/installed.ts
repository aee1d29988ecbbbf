import type { LxcfsView } from '../../contract/wants.ts';
import { namespaceOf } from '../../linux/namespaces.ts';
import type { Logger } from '../../observability/logger.ts';
import { type Cgroups, findCgroups } from './cgroups.ts';
import type { InstanceRecord } from './layout.ts';
import { findProgram, fingerprintNow, type Program, Unfit } from './program.ts';

/** The lxcfs that is installed on this node, and what it has to do with. */
export class Installed {
  readonly #log: Logger;
  /** Undefined where there is none that will do. */
  program: Program | undefined;
  cgroups: Cgroups | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Searches for it again. @returns what is wrong, undefined where nothing is */
  async refresh(): Promise<string | undefined> {
    try {
      this.cgroups ??= findCgroups();
      const program = await findProgram(this.cgroups.version);
      if (program.version !== this.program?.version)
        this.#log.info({ program: program.path, lxcfs: program.version }, 'found lxcfs');
      this.program = program;
      return undefined;
    } catch (error) {
      // An instance of a program that has been removed since goes on serving.
      this.program = undefined;
      if (!(error instanceof Unfit)) this.#log.debug({ err: error }, 'looking for lxcfs failed');
      return (error as Error).message;
    }
  }

  /** Whether an instance runs what is installed now, and was started as it would be now. */
  isCurrent({ setup, fingerprint }: InstanceRecord, views: readonly LxcfsView[]): boolean {
    return setup === setupFor(views) && (!this.program || fingerprint === fingerprintNow(this.program, fingerprint));
  }
}

/** What an instance is started with, and by whom: in a container of its own it ends with the container. */
export const setupFor = (views: readonly LxcfsView[]): string =>
  JSON.stringify({ loadavg: views.includes('loadavg'), namespace: namespaceOf('self') });
