import { closeSync } from 'node:fs';
import { dirname } from 'node:path';
import { isErrno } from '../errors.ts';
import { attachMode, attachProgram, detachProgram, replaceProgram } from './bpf.ts';
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
      // It may have been detached since it was read, here or everywhere.
      const isReplaced = first && withProgram(first.id, (old) => replaceProgram(cgroup, program, old));
      if (!isReplaced) attachProgram(cgroup, program);
      for (const { id } of others) withProgram(id, (other) => detachIfAttached(cgroup, other));
    });
  }

  #detach({ parent, from: { programs } }: Change): void {
    withDirectory(parent, (cgroup) => {
      for (const { id } of programs) withProgram(id, (program) => detachIfAttached(cgroup, program));
    });
    this.#parents.delete(parent);
  }

  #refusal({ parent, to }: Change, error: unknown): Refusal {
    if (to.size === 0) return failure('revoke_failed', parent, error);
    if (!isErrno(error, 'EPERM')) return failure('grant_failed', parent, error);
    const blocker = this.#exclusiveAbove(parent);
    return blocker === undefined
      ? refuse('bpf_refused', { detail: (error as Error).message })
      : refuse('programs_exclusive', { parent: blocker });
  }

  /**
   * The nearest cgroup, from this one up, that keeps others from attaching a program: by one that stays alone, or on the same cgroup, by
   * one that gives way to those below it only (`hierarchy_allows_attach` in kernel/bpf/cgroup.c). EPERM has other causes as well.
   */
  #exclusiveAbove(parent: string): string | undefined {
    for (let at = parent; at.length >= this.#hierarchy.directory.length; at = dirname(at)) {
      try {
        const mode = withDirectory(at, attachMode);
        if (mode === 'multi') return undefined;
        if (mode === 'alone' || (mode === 'override' && at === parent)) return at;
        if (mode === 'override') return undefined;
      } catch {
        return undefined;
      }
    }
    return undefined;
  }

  /** Of a cgroup, below the hierarchy's root. */
  #depth(path: string): number {
    return path.slice(this.#hierarchy.directory.length).split('/').filter(Boolean).length;
  }
}

/** That it is not attached there any more is what was wanted. */
function detachIfAttached(cgroup: number, program: number): void {
  try {
    detachProgram(cgroup, program);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
