import { isDeepStrictEqual } from 'node:util';
import type { DeviceKey } from '../../linux/device.ts';
import type { DeviceRule, GrantOutcome } from '../../linux/device-cgroup/index.ts';
import { deviceKey } from '../../linux/device-cgroup/rule.ts';
import type { Logger } from '../../observability/logger.ts';
import { type ContainerIdentity, parseContainerCgroup } from '../containers.ts';
import { numberOf } from './numbers.ts';
import { readSince, type Since, writeSince } from './since.ts';
import type { Entitlement } from './wanted.ts';

/** What came of one container's right to one node. */
export interface Grant extends ContainerIdentity {
  /** The directory of the container's cgroup. */
  readonly cgroup: string;
  /** `class/name` of the node. */
  readonly path: string;
  readonly class: string;
  readonly device: string;
  readonly key: DeviceKey;
  readonly access: string;
  /** `unneeded`: nothing keeps the container from any device. */
  readonly state: GrantOutcome['state'];
  /** Why it was refused, and what to do. */
  readonly reason?: string;
  readonly message?: string;
  /** ISO 8601: since when it is so; of what is granted, also under earlier daemons. */
  readonly since: string;
}

/** Who has been granted what, since when; each change is a line of the log that an audit can go by. */
export class Ledger {
  readonly #log: Logger;
  /** What earlier daemons have granted, by cgroup and device: no news, unless it is taken back. */
  readonly #inherited = new Set<string>();
  #grants = new Map<string, Grant>();
  /** What is written on cgroups, by their paths. */
  readonly #since = new Map<string, Since>();
  /** By cgroup: told once. */
  #failures: ReadonlyMap<string, string> = new Map();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @param granted what the kernel has before anything is done */
  inherit(granted: ReadonlyMap<string, readonly DeviceRule[]>): void {
    for (const id of idsOf(granted)) this.#inherited.add(id);
    for (const cgroup of granted.keys()) this.#since.set(cgroup, readSince(cgroup));
  }

  /** @param granted what is left of that when all has been taken back that nobody wants any more */
  disinherit(granted: ReadonlyMap<string, readonly DeviceRule[]>): void {
    const left = new Set(idsOf(granted));
    for (const id of this.#inherited) {
      if (left.has(id)) continue;
      this.#inherited.delete(id);
      const [cgroup = '', number] = JSON.parse(id) as string[];
      this.#log.info({ number, ...parseContainerCgroup(cgroup), cgroup }, 'access to a device taken back');
    }
  }

  get grants(): Iterable<Grant> {
    return this.#grants.values();
  }

  /** @param outcomes by cgroup */
  update(entitlements: readonly Entitlement[], outcomes: ReadonlyMap<string, GrantOutcome>): void {
    const now = new Date().toISOString();
    const grants = new Map<string, Grant>();
    const since = new Map<string, Since>();
    for (const { cgroup, node } of entitlements) {
      const outcome = outcomes.get(cgroup);
      // It has ended since it was found.
      if (!outcome || ('reason' in outcome && outcome.reason === 'cgroup_gone')) continue;
      const { device, deviceClass, path } = node;
      // The identity keeps two devices apart that follow one another under one number.
      const what = `${path} ${device.identity} ${deviceClass.access}`;
      const id = `${cgroup} ${what}`;
      const before = this.#grants.get(id);
      const grant: Grant = {
        ...parseContainerCgroup(cgroup),
        cgroup,
        path,
        class: deviceClass.name,
        device: device.name,
        key: device.key,
        access: deviceClass.access,
        ...outcome,
        since: (before?.state === outcome.state ? before.since : undefined) ?? this.#since.get(cgroup)?.[what] ?? now,
      };
      grants.set(id, grant);
      if (grant.state === 'granted') since.set(cgroup, { ...since.get(cgroup), [what]: grant.since });
      if (before?.state !== grant.state || before.message !== grant.message) this.#tell(grant);
    }
    for (const [id, grant] of this.#grants) {
      if (grant.state === 'granted' && grants.get(id)?.state !== 'granted') {
        this.#log.info(facts(grant), 'access to a device taken back');
      }
    }
    this.#grants = grants;
    this.#writeSince(since);
    this.#tellOfFailures(new Set(entitlements.map(({ cgroup }) => cgroup)), outcomes);
  }

  #writeSince(since: ReadonlyMap<string, Since>): void {
    for (const cgroup of new Set([...this.#since.keys(), ...since.keys()])) {
      const granted = since.get(cgroup) ?? {};
      if (isDeepStrictEqual(granted, this.#since.get(cgroup))) continue;
      writeSince(cgroup, granted);
      if (since.has(cgroup)) this.#since.set(cgroup, granted);
      else this.#since.delete(cgroup);
    }
  }

  /** What should have been taken back from cgroups that are entitled to nothing any more. */
  #tellOfFailures(entitled: ReadonlySet<string>, outcomes: ReadonlyMap<string, GrantOutcome>): void {
    const failures = new Map<string, string>();
    for (const [cgroup, outcome] of outcomes) {
      if (entitled.has(cgroup) || outcome.state !== 'refused' || outcome.reason === 'cgroup_gone') continue;
      failures.set(cgroup, outcome.message);
      if (this.#failures.get(cgroup) === outcome.message) continue;
      this.#log.error({ ...parseContainerCgroup(cgroup), cgroup, reason: outcome.reason }, outcome.message);
    }
    this.#failures = failures;
  }

  #tell(grant: Grant): void {
    const isInherited = this.#inherited.delete(idOf(grant.cgroup, numberOf(grant.key)));
    if (grant.state === 'granted' && !isInherited) this.#log.info(facts(grant), 'access to a device granted');
    if (grant.state === 'refused') {
      this.#log.error({ ...facts(grant), reason: grant.reason }, `access to a device not granted: ${grant.message}`);
    }
  }
}

const idOf = (cgroup: string, number: string): string => JSON.stringify([cgroup, number]);

function* idsOf(granted: ReadonlyMap<string, readonly DeviceRule[]>): Generator<string> {
  for (const [cgroup, rules] of granted) for (const rule of rules) yield idOf(cgroup, deviceKey(rule));
}

function facts({ device, key, class: name, access, cgroup, podUid, containerId }: Grant): object {
  return { device, number: numberOf(key), class: name, access, cgroup, podUid, containerId };
}
