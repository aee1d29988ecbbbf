import { dirname } from 'node:path';
import type { AttachedProgram } from './bpf.ts';
import type { Grants } from './controller.ts';
import { cgroupId, childrenOf } from './hierarchy.ts';
import { isRestricted, programsOn, withDirectory } from './programs.ts';
import type { DeviceAccess } from './rule.ts';
import { readRules } from './rules-map.ts';

/** What of ours is attached to the parent of containers' cgroups. */
export interface Attached {
  readonly programs: readonly AttachedProgram[];
  /** What for, by the cgroups below. */
  readonly grants: Grants;
}

/** Reads what is attached, for one plan: each map and each cgroup once. */
export class V2Reader {
  readonly #name: string;
  readonly #attached = new Map<string, Attached>();
  /** Many parents share a map. */
  readonly #maps = new Map<number, ReadonlyMap<bigint, DeviceAccess>>();
  readonly #restricted = new Map<string, boolean>();

  /** Cgroups by their ids: those that the plan is about. */
  readonly #paths = new Map<bigint, string>();

  constructor(name: string, paths: Iterable<string> = []) {
    this.#name = name;
    for (const path of paths) {
      const id = cgroupId(path);
      if (id !== undefined) this.#paths.set(id, path);
    }
  }

  /** @throws SystemCallError, or ENOENT where it has gone */
  read(parent: string): Attached {
    return remember(this.#attached, parent, () => this.#read(parent));
  }

  /** What was read of it is not true any more. */
  forget(parent: string): void {
    this.#attached.delete(parent);
  }

  /** @throws SystemCallError, or ENOENT where it has gone */
  isRestricted(path: string): boolean {
    return remember(this.#restricted, path, () => isRestricted(path));
  }

  #read(parent: string): Attached {
    const programs = withDirectory(parent, programsOn).filter(({ name }) => name === this.#name);
    if (programs.length === 0) return { programs, grants: new Map() };
    const rules = programs.flatMap(({ maps }) => maps.map((map) => remember(this.#maps, map, () => readRules(map))));
    const ids = rules.flatMap((of) => [...of.keys()]);
    // Whose the rules are is known already, unless a container is not wanted any more, or has ended.
    const paths = ids.every((id) => this.#paths.has(id)) ? this.#paths : pathsBelow(parent);
    const grants = new Map<string, DeviceAccess>();
    for (const of of rules) {
      for (const [id, access] of of) {
        const path = paths.get(id);
        if (path !== undefined && dirname(path) === parent) grants.set(path, access);
      }
    }
    return { programs, grants };
  }
}

/** The cgroups directly below one, by their ids. */
function pathsBelow(parent: string): Map<bigint, string> {
  const paths = new Map<bigint, string>();
  for (const name of childrenOf(parent)) {
    const id = cgroupId(`${parent}/${name}`);
    if (id !== undefined) paths.set(id, `${parent}/${name}`);
  }
  return paths;
}

function remember<K, V>(known: Map<K, V>, key: K, find: () => V): V {
  const value = known.has(key) ? (known.get(key) as V) : find();
  known.set(key, value);
  return value;
}
