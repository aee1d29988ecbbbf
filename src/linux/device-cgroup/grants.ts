import type { Controller, GrantOutcome, Grants } from './controller.ts';
import type { DeviceCgroup } from './find.ts';
import { findHierarchies, type Hierarchies } from './hierarchy.ts';
import { type DeviceRule, rulesOf, uniteRules } from './rule.ts';
import { V1Controller } from './v1.ts';
import { V2Controller } from './v2.ts';

export interface WantedGrant {
  readonly cgroup: DeviceCgroup;
  readonly rules: readonly DeviceRule[];
}

export interface DeviceGrantsOptions {
  /** Whose grants they are: those of other owners are left alone. `hotmount`, or what begins so; at most 15 of `a-z0-9_`. */
  readonly owner?: string;
  /** Where cgroups are mounted. */
  readonly hierarchies?: Hierarchies;
}

/** What a daemon grants where none says otherwise. */
const OWNER = 'hotmount';

/**
 * Access to devices that containers have through hotmount, on top of what their runtimes gave them. All of it is on kernel objects, where
 * it outlives the daemon: see v1.ts and v2.ts. To take it back, reconcile with nothing.
 */
export class DeviceGrants {
  readonly #controllers: ReadonlyMap<number, Controller>;

  /** @throws Error where the owner's name cannot be one */
  constructor({ owner = OWNER, hierarchies: { v1, v2 } = findHierarchies() }: DeviceGrantsOptions = {}) {
    if (!/^hotmount[a-z0-9_]{0,7}$/.test(owner)) throw new Error(`not a name for an owner of grants: ${owner}`);
    this.#controllers = new Map<number, Controller>([
      ...(v1 ? [[1, new V1Controller(v1.directory, owner)] as const] : []),
      ...(v2 ? [[2, new V2Controller(v2, owner)] as const] : []),
    ]);
  }

  /**
   * Makes the kernel grant exactly this through us, and nothing else: first all is taken back that is not wanted, in every cgroup, then
   * the rest is given. So a device's number that has come to mean another device is nobody's in between. Where it fails in one cgroup, the
   * others do not mind; it may be called again at any time.
   * @param wanted the rules of several for one cgroup unite
   * @returns for each cgroup that is wanted, and each from which something could not be taken back, how it stands
   */
  reconcile(wanted: readonly WantedGrant[]): ReadonlyMap<string, GrantOutcome> {
    const outcomes = new Map<string, GrantOutcome>();
    const plans = [...this.#controllers].map(([version, controller]) =>
      controller.plan(unite(wanted.filter(({ cgroup }) => cgroup.version === version))),
    );
    const failed = plans.flatMap((plan) => [...plan.revoke()]);
    for (const plan of plans) for (const [path, outcome] of plan.grant()) outcomes.set(path, outcome);
    for (const [path, refusal] of failed) outcomes.set(path, refusal);
    return outcomes;
  }

  /** What hotmount grants now, by the cgroup's path, read from the kernel. @throws SystemCallError */
  granted(): ReadonlyMap<string, readonly DeviceRule[]> {
    const all = new Map<string, readonly DeviceRule[]>();
    for (const controller of this.#controllers.values()) {
      for (const [path, access] of controller.granted()) all.set(path, rulesOf(access));
    }
    return all;
  }
}

function unite(wanted: readonly WantedGrant[]): Grants {
  const rules = Map.groupBy(wanted, ({ cgroup }) => cgroup.path);
  return new Map([...rules].map(([path, of]) => [path, uniteRules(of.flatMap((grant) => grant.rules))]));
}
