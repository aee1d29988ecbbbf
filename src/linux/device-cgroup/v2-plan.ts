import { dirname } from 'node:path';
import { errorCode } from '../errors.ts';
import { failure, type GrantOutcome, type GrantPlan, type Grants, isGone } from './controller.ts';
import type { Hierarchy } from './hierarchy.ts';
import { type Refusal, refuse } from './reasons.ts';
import { type DeviceAccess, intersect, isEmpty, sameAccess } from './rule.ts';
import type { Change, V2Changes } from './v2-changes.ts';
import type { V2Reader } from './v2-reader.ts';

const NOTHING: DeviceAccess = new Map();

/** What is granted on cgroup v2, compared with what is wanted. */
export class V2Plan implements GrantPlan {
  readonly #hierarchy: Hierarchy;
  readonly #parents: Set<string>;
  readonly #reader: V2Reader;
  readonly #changes: V2Changes;
  readonly #outcomes = new Map<string, GrantOutcome>();
  /** What is wanted and can be granted, by the parent that a program is attached to for it. */
  readonly #wanted = new Map<string, Map<string, DeviceAccess>>();

  /** @param parents those that have programs of ours */
  constructor(wanted: Grants, hierarchy: Hierarchy, parents: Set<string>, reader: V2Reader, changes: V2Changes) {
    this.#hierarchy = hierarchy;
    this.#parents = parents;
    this.#reader = reader;
    this.#changes = changes;
    for (const [path, access] of wanted) {
      const parent = dirname(path);
      const obstacle = this.#obstacle(path, access);
      if (obstacle) this.#outcomes.set(path, obstacle);
      else this.#wanted.set(parent, (this.#wanted.get(parent) ?? new Map<string, DeviceAccess>()).set(path, access));
    }
  }

  revoke(): Map<string, Refusal> {
    const failed = new Map<string, Refusal>();
    const changes: Change[] = [];
    for (const parent of this.#parents) {
      try {
        const from = this.#reader.read(parent);
        const to = new Map<string, DeviceAccess>();
        for (const [path, access] of from.grants) {
          const common = intersect(access, this.#wanted.get(parent)?.get(path) ?? NOTHING);
          if (!isEmpty(common)) to.set(path, common);
        }
        if (from.programs.length === 0) this.#parents.delete(parent);
        else if (to.size === 0 || !sameGrants(from.grants, to)) changes.push({ parent, from, to });
      } catch (error) {
        if (isGone(error)) this.#parents.delete(parent);
        else failed.set(parent, failure('revoke_failed', parent, error));
      }
    }
    for (const [{ parent, from }] of this.#apply(changes)) {
      // Rather nothing than what is not wanted any more: the grant that follows tries to give the rest back.
      for (const [, refusal] of this.#apply([{ parent, from, to: new Map() }])) {
        if (refusal.reason !== 'cgroup_gone') for (const path of from.grants.keys()) failed.set(path, refusal);
      }
    }
    return failed;
  }

  grant(): Map<string, GrantOutcome> {
    const changes: Change[] = [];
    for (const [parent, to] of this.#wanted) {
      try {
        const from = this.#reader.read(parent);
        if (!sameGrants(from.grants, to) || this.#changes.isOutdated(parent, from)) changes.push({ parent, from, to });
        this.#answer(to, { state: 'granted' });
      } catch (error) {
        this.#answer(to, failure('grant_failed', parent, error));
      }
    }
    for (const [{ to }, refusal] of this.#apply(changes)) this.#answer(to, refusal);
    return this.#outcomes;
  }

  /** Why a cgroup cannot be granted anything, or need not be. */
  #obstacle(path: string, access: DeviceAccess): GrantOutcome | undefined {
    try {
      if (isEmpty(access) || !this.#reader.isRestricted(path)) return { state: 'unneeded' };
      // What is above has the last word; the root is what the node itself is given.
      for (let above = dirname(path); above.length > this.#hierarchy.directory.length; above = dirname(above)) {
        if (this.#reader.isRestricted(above)) return refuse('parent_restricts', { parent: above });
      }
      return undefined;
    } catch (error) {
      const detail = (error as Error).message;
      return errorCode(error) === 'EPERM' ? refuse('bpf_refused', { detail }) : failure('grant_failed', path, error);
    }
  }

  #apply(changes: readonly Change[]): Map<Change, Refusal> {
    for (const { parent } of changes) this.#reader.forget(parent);
    return this.#changes.apply(changes);
  }

  #answer(grants: Grants, outcome: GrantOutcome): void {
    for (const path of grants.keys()) this.#outcomes.set(path, outcome);
  }
}

const sameGrants = (a: Grants, b: Grants): boolean =>
  a.size === b.size && [...a].every(([path, access]) => sameAccess(access, b.get(path) ?? NOTHING));
