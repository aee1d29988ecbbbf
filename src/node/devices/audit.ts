import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { DeviceKey } from '../../linux/device.ts';
import {
  type DeviceRule,
  type GrantOutcome,
  mayPass,
  ruleDevice,
  ruleDeviceOf,
} from '../../linux/device-cgroup/index.ts';
import type { Logger } from '../../observability/logger.ts';
import { type ContainerIdentity, parseContainerCgroup } from '../containers/identity.ts';
import type { DesiredNode } from './desired.ts';
import type { DesiredGrant } from './desired-grants.ts';
import { type GrantTimes, readGrantTimes, writeGrantTimes } from './grant-times.ts';

/** The outcome of one container's grant for one node. */
export interface ContainerGrant extends ContainerIdentity {
  /** The directory of the container's cgroup. */
  readonly cgroup: string;
  /** `class/name` of the node. */
  readonly path: string;
  readonly class: string;
  readonly device: string;
  readonly key: DeviceKey;
  readonly access: string;
  /** `unneeded`: nothing keeps the container from any device. */
  readonly state: GrantOutcome['state'] | 'waiting';
  /** Why it was refused, or waits, and what to do. */
  readonly reason?: string;
  readonly message?: string;
  /** ISO 8601: since when it is so; of what is granted, also under earlier daemons. */
  readonly since: string;
}

/** Who has been granted what, since when. Each change is a line of the log, for audits. */
export class GrantAudit {
  readonly #log: Logger;
  /**
   * What the kernel has from before, or may have, and what the log says of it when it is taken back: of earlier daemons, by cgroup and
   * number, and of this one, where taking it back did not succeed. To be granted that is no news.
   */
  readonly #standing = new Map<string, { readonly number: string; readonly cgroup: string }>();
  #grants = new Map<string, ContainerGrant>();
  /** What is written on cgroups, by their paths. */
  readonly #since = new Map<string, GrantTimes>();
  /** By cgroup: logged once. */
  #failures: ReadonlyMap<string, string> = new Map();
  #isUnsettled = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @param granted what the kernel has before anything is done */
  inherit(granted: ReadonlyMap<string, readonly DeviceRule[]>): void {
    for (const [cgroup, rules] of granted) {
      this.#since.set(cgroup, readGrantTimes(cgroup));
      for (const number of rules.map(ruleDevice)) {
        this.#standing.set(idOf(cgroup, number), { number, ...parseContainerCgroup(cgroup), cgroup });
      }
    }
  }

  /** Whether something failed that may succeed at the next try. */
  get isUnsettled(): boolean {
    return this.#isUnsettled;
  }

  get grants(): Iterable<ContainerGrant> {
    return this.#grants.values();
  }

  /** @param outcomes by cgroup */
  update(desired: readonly DesiredGrant[], outcomes: ReadonlyMap<string, GrantOutcome>): void {
    const now = new Date().toISOString();
    const grants = new Map<string, ContainerGrant>();
    const since = new Map<string, GrantTimes>();
    const isInDoubt = (cgroup: string): boolean => [cgroup, dirname(cgroup)].some((path) => failed(outcomes.get(path)));
    this.#isUnsettled = outcomes.values().some(failed);
    for (const { cgroup, node, waitsFor } of desired) {
      const found = outcomes.get(cgroup);
      const outcome = waitsFor && found?.state !== 'refused' ? waiting(node, waitsFor) : found;
      // It has ended since it was found.
      if (!outcome || ('reason' in outcome && outcome.reason === 'cgroup_gone')) continue;
      const { device, deviceClass, path } = node;
      // The identity keeps two devices apart that follow one another under one number.
      const what = `${path} ${device.identity} ${deviceClass.access}`;
      const id = `${cgroup} ${what}`;
      const before = this.#grants.get(id);
      const known = outcome.state === 'granted' ? this.#since.get(cgroup)?.[what] : undefined;
      const grant: ContainerGrant = {
        ...parseContainerCgroup(cgroup),
        cgroup,
        path,
        class: deviceClass.name,
        device: device.name,
        key: device.key,
        access: deviceClass.access,
        ...outcome,
        since: (before?.state === outcome.state ? before.since : undefined) ?? known ?? now,
      };
      grants.set(id, grant);
      if (grant.state === 'granted') since.set(cgroup, { ...since.get(cgroup), [what]: grant.since });
      if (before?.state !== grant.state || before.message !== grant.message) this.#tell(id, grant);
    }
    for (const [id, grant] of this.#grants) {
      if (grant.state === 'granted' && grants.get(id)?.state !== 'granted') this.#standing.set(id, facts(grant));
    }
    const granted = new Set(
      grants.entries().flatMap(([id, grant]) => (grant.state === 'granted' ? idsOf(id, grant) : [])),
    );
    for (const [id, grant] of this.#standing) {
      if (!granted.has(id) && isInDoubt(grant.cgroup)) continue;
      this.#standing.delete(id);
      if (!granted.has(id)) this.#log.info(grant, 'access to a device taken back');
    }
    this.#grants = grants;
    this.#writeGrantTimes(since);
    this.#tellOfFailures(new Set(desired.map(({ cgroup }) => cgroup)), outcomes);
  }

  #writeGrantTimes(since: ReadonlyMap<string, GrantTimes>): void {
    for (const cgroup of new Set([...this.#since.keys(), ...since.keys()])) {
      const granted = since.get(cgroup) ?? {};
      if (isDeepStrictEqual(granted, this.#since.get(cgroup))) continue;
      writeGrantTimes(cgroup, granted);
      if (since.has(cgroup)) this.#since.set(cgroup, granted);
      else this.#since.delete(cgroup);
    }
  }

  /** What could not be taken back from cgroups that should have nothing any more. */
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

  #tell(id: string, grant: ContainerGrant): void {
    const isNews = !idsOf(id, grant).some((each) => this.#standing.has(each));
    if (grant.state === 'granted' && isNews) this.#log.info(facts(grant), 'access to a device granted');
    if (grant.state === 'waiting') this.#log.info(facts(grant), `access to a device waits: ${grant.message}`);
    if (grant.state === 'refused') {
      this.#log.error({ ...facts(grant), reason: grant.reason }, `access to a device not granted: ${grant.message}`);
    }
  }
}

/** A class is for so many containers at a time, and others came first. */
function waiting({ deviceClass: { name, maxContainers } }: DesiredNode, holders: readonly string[]) {
  const who = holders.map((cgroup) => describeContainer(parseContainerCgroup(cgroup)) ?? cgroup).join(', ');
  const message = `device class ${name} is for ${maxContainers === 1 ? 'one container' : `${maxContainers} containers`} at a time, and ${who} came first: it is granted when one of them ends`;
  return { state: 'waiting', message } as const;
}

const describeContainer = ({ podUid, containerId }: ContainerIdentity): string | undefined =>
  podUid ? `pod ${podUid}` : containerId?.slice(0, 12);

const idOf = (cgroup: string, number: string): string => JSON.stringify([cgroup, number]);

/** Its own id, and the id of what an earlier daemon granted, of which only cgroup and number are known. */
const idsOf = (id: string, { cgroup, key }: ContainerGrant): string[] => [id, idOf(cgroup, ruleDeviceOf(key))];

/** The access may be granted or not: it is not known. */
const failed = (outcome: GrantOutcome | undefined): boolean => outcome?.state === 'refused' && mayPass(outcome.reason);

function facts({ device, key, class: name, access, cgroup, podUid, containerId }: ContainerGrant) {
  return { device, number: ruleDeviceOf(key), class: name, access, cgroup, podUid, containerId };
}
