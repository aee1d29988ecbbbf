import { readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from '../errors.ts';
import { getAttribute, removeAttribute, setAttribute } from '../xattr.ts';
import { type Controller, failure, type GrantOutcome, type GrantPlan, type Grants, isGone } from './controller.ts';
import {
  type DevicesList,
  exactBits,
  formatLine,
  formatRecord,
  missing,
  parseDevicesList,
  parseRecord,
  without,
} from './devices-list.ts';
import { MarkedCgroups } from './marked-cgroups.ts';
import { type Refusal, refuse } from './reasons.ts';
import { type DeviceAccess, intersect, isEmpty, sameAccess, subtract } from './rule.ts';

const NONE: DeviceAccess = new Map();

interface State {
  readonly list: DevicesList;
  /** What is recorded as added by us. */
  readonly recorded: DeviceAccess;
}

/**
 * Grants on cgroup v1, where one list a cgroup holds everybody's rules and nothing says whose a rule is. So only what is missing is
 * added, and what was added is recorded on the cgroup itself, in an extended attribute that containers can neither read nor write. It is
 * recorded before it is added and forgotten after it is taken back: whenever the daemon is killed, the record names all that is ours and
 * nothing that was there before, and taking back what was never added changes nothing.
 */
export class V1Controller implements Controller {
  readonly #attribute: string;
  /** Cgroups with a record. */
  readonly #recorded: MarkedCgroups;

  constructor(directory: string, owner: string) {
    this.#attribute = `trusted.${owner}.devices`;
    this.#recorded = new MarkedCgroups(directory, (path) => getAttribute(path, this.#attribute) !== undefined);
  }

  plan(wanted: Grants): GrantPlan {
    return { revoke: () => this.#revokeAll(wanted), grant: () => this.#grantAll(wanted) };
  }

  #revokeAll(wanted: Grants): Map<string, Refusal> {
    const known = this.#known();
    const failed = this.#recorded.refusals;
    for (const path of known) {
      try {
        this.#revoke(path, wanted.get(path) ?? NONE);
      } catch (error) {
        if (isGone(error)) known.delete(path);
        else failed.set(path, failure('revoke_failed', path, error));
      }
    }
    return failed;
  }

  #revoke(path: string, wanted: DeviceAccess): void {
    const { list, recorded } = this.#read(path);
    const ours = neededOf({ list, recorded }, wanted);
    // Denying something to a cgroup that is allowed all would be news to it.
    if (!list.allowsAll) {
      for (const [key, bits] of subtract(recorded, ours)) writeFileSync(`${path}/devices.deny`, formatLine(key, bits));
    }
    this.#record(path, recorded, intersect(recorded, ours));
  }

  #grantAll(wanted: Grants): Map<string, GrantOutcome> {
    const outcomes = new Map<string, GrantOutcome>();
    for (const [path, access] of wanted) {
      try {
        outcomes.set(path, this.#grant(path, access));
      } catch (error) {
        outcomes.set(path, failure('grant_failed', path, error));
      }
    }
    return outcomes;
  }

  #grant(path: string, wanted: DeviceAccess): GrantOutcome {
    const { list, recorded } = this.#read(path);
    const ours = neededOf({ list, recorded }, wanted);
    if (isEmpty(ours)) return { state: 'unneeded' };
    this.#record(path, recorded, ours);
    const refused: [string, number][] = [];
    for (const [key, bits] of ours) {
      // A runtime that updates its container writes the whole list anew, without ours.
      if ((bits & ~exactBits(list, key)) === 0) continue;
      try {
        writeFileSync(`${path}/devices.allow`, formatLine(key, bits));
      } catch (error) {
        // A cgroup cannot have what the one above it has not.
        if (errorCode(error) !== 'EPERM') throw error;
        // What is there of it already stays, and stays ours.
        refused.push([key, bits & ~exactBits(list, key)]);
      }
    }
    if (refused.length === 0) return { state: 'granted' };
    this.#record(path, ours, subtract(ours, new Map(refused)));
    return refuse('parent_restricts', { parent: dirname(path) });
  }

  granted(): Map<string, DeviceAccess> {
    const all = new Map<string, DeviceAccess>();
    for (const path of this.#known()) {
      try {
        const { list, recorded } = this.#read(path);
        const present = new Map([...recorded].map(([key]) => [key, exactBits(list, key)]));
        const ours = intersect(recorded, present);
        if (!isEmpty(ours)) all.set(path, ours);
      } catch (error) {
        if (!isGone(error)) throw error;
        this.#known().delete(path);
      }
    }
    return all;
  }

  #read(path: string): State {
    const list = parseDevicesList(readFileSync(`${path}/devices.list`, 'latin1'));
    return { list, recorded: parseRecord(getAttribute(path, this.#attribute) ?? '') };
  }

  #record(path: string, before: DeviceAccess, after: DeviceAccess): void {
    if (isEmpty(after)) {
      if (!isEmpty(before)) removeAttribute(path, this.#attribute);
      this.#known().delete(path);
    } else {
      if (!sameAccess(before, after)) setAttribute(path, this.#attribute, formatRecord(after));
      this.#known().add(path);
    }
  }

  #known(): Set<string> {
    return this.#recorded.find();
  }
}

/** What of the wanted has to be ours: what the list would not allow without us. */
const neededOf = ({ list, recorded }: State, wanted: DeviceAccess): DeviceAccess =>
  list.allowsAll ? NONE : missing(without(list, recorded), wanted);
