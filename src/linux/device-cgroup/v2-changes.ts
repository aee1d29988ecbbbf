import { closeSync } from 'node:fs';
import { errorCode } from '../errors.ts';
import { attachProgram, detachProgram } from './bpf.ts';
import { failure, type Grants } from './controller.ts';
import type { Hierarchy } from './hierarchy.ts';
import type { ProgramMaker } from './program-maker.ts';
import { withDirectory, withProgram } from './programs.ts';
import { type Refusal, refuse } from './reasons.ts';
import type { Attached } from './v2-reader.ts';

export interface Change {
  readonly parent: string;
  readonly from: Attached;
  /** What is to be granted there. */
  readonly to: Grants;
}

/** Changes what is attached to parents of containers' cgroups. */
export class V2Changes {
  readonly #hierarchy: Hierarchy;
  readonly #maker: ProgramMaker;
  readonly #parents: Set<string>;

  /** @param parents those that have programs of ours: kept up to date */
  constructor(hierarchy: Hierarchy, maker: ProgramMaker, parents: Set<string>) {
    this.#hierarchy = hierarchy;
    this.#maker = maker;
    this.#parents = parents;
  }

  /** Whether it was made by another version of the program, or is there twice. */
  isOutdated(parent: string, { programs: [only, ...others] }: Attached): boolean {
    return others.length > 0 || only?.tag !== this.#maker.tag(this.#depth(parent) + 1);
  }

  /** Makes one program for all changes at a level, and attaches it in place of what is there. @returns where that failed */
  apply(changes: readonly Change[]): Map<Change, Refusal> {
    const failed = new Map<Change, Refusal>();
    const attempt = (change: Change, swap: () => void): void => {
      try {
        swap();
      } catch (error) {
        failed.set(change, this.#refusal(change, error));
      }
    };
    for (const change of changes.filter(({ to }) => to.size === 0)) attempt(change, () => this.#detach(change));
    const toAttach = changes.filter(({ to }) => to.size > 0);
    for (const [depth, level] of Map.groupBy(toAttach, ({ parent }) => this.#depth(parent) + 1)) {
      const grants = level.map(({ to }) => to);
      const program = this.#maker.make(depth, grants);
      if (typeof program === 'number') {
        for (const change of level) attempt(change, () => this.#attach(change, program));
        closeSync(program);
      } else {
        for (const change of level) failed.set(change, program);
      }
    }
    return failed;
  }

  #attach({ parent, from: { programs } }: Change, program: number): void {
    const [first, ...others] = programs;
    this.#parents.add(parent);
    withDirectory(parent, (cgroup) => {
      if (first === undefined) attachProgram(cgroup, program);
      else withProgram(first.id, (old) => attachProgram(cgroup, program, old));
      for (const { id } of others) withProgram(id, (other) => detachProgram(cgroup, other));
    });
  }

  #detach({ parent, from: { programs } }: Change): void {
    withDirectory(parent, (cgroup) => {
      for (const { id } of programs) withProgram(id, (program) => detachProgram(cgroup, program));
    });
    this.#parents.delete(parent);
  }

  #refusal({ parent, to }: Change, error: unknown): Refusal {
    if (to.size === 0) return failure('revoke_failed', parent, error);
    return errorCode(error) === 'EPERM'
      ? refuse('programs_exclusive', { parent })
      : failure('grant_failed', parent, error);
  }

  /** Of a cgroup, below the hierarchy's root. */
  #depth(path: string): number {
    return path.slice(this.#hierarchy.directory.length).split('/').filter(Boolean).length;
  }
}
