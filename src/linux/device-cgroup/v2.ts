import { closeSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from '../errors.ts';
import { type AttachedProgram, attachProgram, detachProgram } from './bpf.ts';
import { type Controller, failure, type GrantOutcome, type Grants, isGone } from './controller.ts';
import { cgroupId, cgroupsBelow, childrenOf, type Hierarchy } from './hierarchy.ts';
import { ProgramMaker } from './program-maker.ts';
import { isRestricted, programsOn, withDirectory, withProgram } from './programs.ts';
import { type Refusal, refuse } from './reasons.ts';
import { type DeviceAccess, intersect, isEmpty, sameAccess } from './rule.ts';
import { readRules } from './rules-map.ts';

/** What of ours is attached to the parent of containers' cgroups. */
interface Attached {
  readonly programs: readonly AttachedProgram[];
  /** What for, by the cgroups below. */
  readonly grants: Grants;
}

interface Change {
  readonly parent: string;
  readonly from: Attached;
  /** What is to be granted there. */
  readonly to: Grants;
}

const NOTHING: DeviceAccess = new Map();

/**
 * Grants on cgroup v2, where device control is programs that are attached to cgroups, and all have to agree: those of a cgroup itself,
 * then those of the ones above it. So ours goes on the cgroup *above* the container's, is asked after all of the container's, and answers
 * for certain of its children only (program.ts). The programs of the runtime and of systemd are never read, changed or detached; they may
 * come and go as they like.
 *
 * A program is made together with a map of its rules, which is frozen, and attached in place of the one before: whenever the daemon is
 * killed, the one or the other is there, whole. The rules are read back from that map, by this daemon and by the next; nothing else
 * remembers them. Programs know cgroups by ids that are never used twice, so one program can serve all parents at a level, and what was
 * for containers that have ended means nothing. (Making one takes 0.3 ms, attaching it some µs.)
 */
export class V2Controller implements Controller {
  readonly #hierarchy: Hierarchy;
  readonly #name: string;
  readonly #maker: ProgramMaker;
  /** What the running look has read: many parents share a map, and what one step has read, the next need not. */
  readonly #maps = new Map<number, ReadonlyMap<bigint, DeviceAccess>>();
  readonly #attached = new Map<string, Attached>();
  /** Cgroups with a program of ours. Found by a look at them all, once: then only this object attaches any. */
  #parents: Set<string> | undefined;

  constructor(hierarchy: Hierarchy, name: string) {
    this.#hierarchy = hierarchy;
    this.#name = name;
    this.#maker = new ProgramMaker(hierarchy, name);
  }

  revoke(wanted: Grants): Map<string, Refusal> {
    const failed = new Map<string, Refusal>();
    const changes: Change[] = [];
    this.#forget();
    for (const parent of this.#known()) {
      try {
        const from = this.#read(parent);
        const to = new Map<string, DeviceAccess>();
        for (const [path, access] of from.grants) {
          const common = intersect(access, wanted.get(path) ?? NOTHING);
          if (!isEmpty(common)) to.set(path, common);
        }
        if (from.programs.length === 0) this.#known().delete(parent);
        else if (to.size === 0 || !sameGrants(from.grants, to)) changes.push({ parent, from, to });
      } catch (error) {
        if (isGone(error)) this.#known().delete(parent);
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

  grant(wanted: Grants): Map<string, GrantOutcome> {
    const outcomes = new Map<string, GrantOutcome>();
    const restricted = new Map<string, boolean>();
    const byParent = new Map<string, Map<string, DeviceAccess>>();
    for (const [path, access] of wanted) {
      const parent = dirname(path);
      const obstacle = this.#obstacle(path, restricted);
      if (obstacle) outcomes.set(path, obstacle);
      else byParent.set(parent, (byParent.get(parent) ?? new Map<string, DeviceAccess>()).set(path, access));
    }
    const changes: Change[] = [];
    const answer = (grants: Grants, outcome: GrantOutcome): void => {
      for (const path of grants.keys()) outcomes.set(path, outcome);
    };
    for (const [parent, grants] of byParent) {
      try {
        const from = this.#read(parent);
        if (!sameGrants(from.grants, grants) || this.#isOutdated(parent, from))
          changes.push({ parent, from, to: grants });
        answer(grants, { state: 'granted' });
      } catch (error) {
        answer(grants, failure('grant_failed', parent, error));
      }
    }
    for (const [{ to }, refusal] of this.#apply(changes)) answer(to, refusal);
    return outcomes;
  }

  granted(): Map<string, DeviceAccess> {
    const all = new Map<string, DeviceAccess>();
    this.#forget();
    for (const parent of this.#known()) {
      try {
        for (const [path, access] of this.#read(parent).grants) all.set(path, access);
      } catch (error) {
        if (!isGone(error)) throw error;
        this.#known().delete(parent);
      }
    }
    return all;
  }

  /** Why a cgroup cannot be granted anything, or need not be. @param known what was found out about those above others */
  #obstacle(path: string, known: Map<string, boolean>): GrantOutcome | undefined {
    try {
      if (!isRestricted(path)) return { state: 'unneeded' };
      // What is above has the last word; the root is what the node itself is given.
      for (let above = dirname(path); above.length > this.#hierarchy.directory.length; above = dirname(above)) {
        const restricts = known.get(above) ?? isRestricted(above);
        known.set(above, restricts);
        if (restricts) return refuse('parent_restricts', { parent: above });
      }
      return undefined;
    } catch (error) {
      return failure('grant_failed', path, error);
    }
  }

  #forget(): void {
    this.#maps.clear();
    this.#attached.clear();
  }

  #read(parent: string): Attached {
    const attached = this.#attached.get(parent) ?? this.#look(parent);
    this.#attached.set(parent, attached);
    return attached;
  }

  #look(parent: string): Attached {
    const programs = withDirectory(parent, programsOn).filter(({ name }) => name === this.#name);
    if (programs.length === 0) return { programs, grants: new Map() };
    const rules = programs.flatMap(({ maps }) => maps.map((map) => this.#rules(map)));
    const grants = new Map<string, DeviceAccess>();
    for (const name of childrenOf(parent)) {
      const id = cgroupId(`${parent}/${name}`);
      const access = id === undefined ? undefined : rules.find((of) => of.has(id))?.get(id);
      if (access) grants.set(`${parent}/${name}`, access);
    }
    return { programs, grants };
  }

  #rules(map: number): ReadonlyMap<bigint, DeviceAccess> {
    const rules = this.#maps.get(map) ?? readRules(map);
    this.#maps.set(map, rules);
    return rules;
  }

  /** Whether it was made by another version of this program, or is there twice. */
  #isOutdated(parent: string, { programs }: Attached): boolean {
    const [only, ...others] = programs;
    return others.length > 0 || only?.tag !== this.#maker.tag(this.#depth(parent) + 1);
  }

  /** Makes one program for all changes at a level, and attaches it in place of what is there. @returns where that failed */
  #apply(changes: readonly Change[]): Map<Change, Refusal> {
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
    this.#known().add(parent);
    this.#attached.delete(parent);
    withDirectory(parent, (cgroup) => {
      if (first === undefined) attachProgram(cgroup, program);
      else withProgram(first.id, (old) => attachProgram(cgroup, program, old));
      for (const { id } of others) withProgram(id, (other) => detachProgram(cgroup, other));
    });
  }

  #detach({ parent, from: { programs } }: Change): void {
    this.#attached.delete(parent);
    withDirectory(parent, (cgroup) => {
      for (const { id } of programs) withProgram(id, (program) => detachProgram(cgroup, program));
    });
    this.#known().delete(parent);
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

  #known(): Set<string> {
    this.#parents ??= new Set([...cgroupsBelow(this.#hierarchy.directory)].filter((path) => this.#hasOurs(path)));
    return this.#parents;
  }

  #hasOurs(path: string): boolean {
    try {
      return withDirectory(path, programsOn).some(({ name }) => name === this.#name);
    } catch {
      return false;
    }
  }
}

const sameGrants = (a: Grants, b: Grants): boolean =>
  a.size === b.size && [...a].every(([path, access]) => sameAccess(access, b.get(path) ?? NOTHING));
