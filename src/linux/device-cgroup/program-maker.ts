import { closeSync } from 'node:fs';
import { errorCode } from '../errors.ts';
import { loadDeviceProgram, makeFrozenMap, ProgramRefused, programInfo } from './bpf.ts';
import type { Grants } from './controller.ts';
import { cgroupId, type Hierarchy, levelOfRoot } from './hierarchy.ts';
import { grantProgram, KEY_SIZE, VALUE_SIZE } from './program.ts';
import { type Refusal, refuse } from './reasons.ts';
import { ruleEntries } from './rules-map.ts';

/** Makes our programs, each with a map of its rules. */
export class ProgramMaker {
  readonly #hierarchy: Hierarchy;
  readonly #name: string;
  /** Where the hierarchy's root, as it is seen here, lies in the whole. */
  #rootLevel: number | undefined;
  readonly #tags = new Map<number, string>();
  /** That the kernel cannot: found out by trying, once. */
  #unable: Refusal | undefined;

  constructor(hierarchy: Hierarchy, name: string) {
    this.#hierarchy = hierarchy;
    this.#name = name;
  }

  /**
   * @param depth of all the cgroups in the grants, below the hierarchy's root as it is seen here
   * @returns a descriptor, or why there is none
   */
  make(depth: number, grants: readonly Grants[]): number | Refusal {
    if (this.#unable) return this.#unable;
    try {
      this.#rootLevel ??= levelOfRoot(this.#hierarchy);
      const entries = grants.flatMap((of) => [...of].flatMap(([path, access]) => ruleEntries(cgroupId(path), access)));
      const map = makeFrozenMap(this.#name, KEY_SIZE, VALUE_SIZE, entries);
      try {
        const program = loadDeviceProgram(this.#name, grantProgram(this.#rootLevel + depth, map));
        this.#tags.set(depth, programInfo(program).tag);
        return program;
      } finally {
        closeSync(map);
      }
    } catch (error) {
      const detail = (error as Error).message;
      if (!(error instanceof ProgramRefused)) {
        return errorCode(error) === 'EPERM' ? refuse('bpf_refused', { detail }) : refuse('grant_failed', { detail });
      }
      // The verifier on a helper it has never heard of: "invalid func unknown#187", "unknown func bpf_set_retval#187".
      if (!/unknown func|invalid func|cannot use helper/.test(error.message)) return refuse('bpf_refused', { detail });
      this.#unable = refuse('kernel_too_old', { detail });
      return this.#unable;
    }
  }

  /** The kernel's digest of the program that would be made for this depth now; undefined where none can be. */
  tag(depth: number): string | undefined {
    if (!this.#tags.has(depth)) {
      const program = this.make(depth, []);
      if (typeof program === 'number') closeSync(program);
    }
    return this.#tags.get(depth);
  }
}
