import { type Controller, type GrantPlan, type Grants, isGone } from './controller.ts';
import type { Hierarchy } from './hierarchy.ts';
import { MarkedCgroups } from './marked-cgroups.ts';
import { ProgramMaker } from './program-maker.ts';
import { programsOn, withDirectory } from './programs.ts';
import type { DeviceAccess } from './rule.ts';
import { V2Changes } from './v2-changes.ts';
import { V2Plan } from './v2-plan.ts';
import { V2Reader } from './v2-reader.ts';

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
  /** Cgroups with a program of ours. */
  readonly #parents: MarkedCgroups;

  constructor(hierarchy: Hierarchy, name: string) {
    this.#hierarchy = hierarchy;
    this.#name = name;
    this.#maker = new ProgramMaker(hierarchy, name);
    this.#parents = new MarkedCgroups(hierarchy.directory, (path) =>
      withDirectory(path, programsOn).some((program) => program.name === name),
    );
  }

  plan(wanted: Grants): GrantPlan {
    const parents = this.#known();
    const reader = new V2Reader(this.#name, wanted.keys());
    const changes = new V2Changes(this.#hierarchy, this.#maker, parents);
    const plan = new V2Plan(wanted, this.#hierarchy, parents, reader, changes);
    const { refusals } = this.#parents;
    return { revoke: () => new Map([...refusals, ...plan.revoke()]), grant: () => plan.grant() };
  }

  granted(): Map<string, DeviceAccess> {
    const reader = new V2Reader(this.#name);
    const all = new Map<string, DeviceAccess>();
    for (const parent of this.#known()) {
      try {
        for (const [path, access] of reader.read(parent).grants) all.set(path, access);
      } catch (error) {
        if (!isGone(error)) throw error;
        this.#known().delete(parent);
      }
    }
    return all;
  }

  #known(): Set<string> {
    return this.#parents.find();
  }
}
