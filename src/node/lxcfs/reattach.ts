import { readFileSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { type MountReplacer, NamespaceHangs, type Replaced } from '../../linux/mount-replacer.ts';
import { parseMountinfo } from '../../linux/mountinfo.ts';
import { type MountNamespace, mountNamespaces, namespaceOf } from '../../linux/namespaces.ts';
import { type ContainerIdentity, parseContainerCgroup } from '../containers.ts';
import { countLive, type LiveInstance, MARKER, planRepairs, type Repair } from './reattach-plan.ts';

/** A file that a container should read from lxcfs, and does not. */
export interface Unhealed extends ContainerIdentity {
  readonly pid: number;
  readonly path: string;
  readonly reason: string;
}

/** What one or several looks have done. */
export interface Healed {
  /** Files put in place. */
  readonly files: number;
  readonly namespaces: number;
  readonly unhealed: readonly Unhealed[];
  /** Views that containers had and that this lxcfs does not serve: taken away. */
  readonly missing: ReadonlySet<string>;
}

/** What a look finds in place. */
export interface Attached {
  readonly containers: number;
  readonly files: number;
}

/** Containers that start and stop all the time must not keep a heal from ending; what is left is done by the next. */
const MAX_LOOKS = 10;

/** ms. Each try costs a thread. */
const HANGING_RETRY = 60_000;

/** Puts the files of the published lxcfs in place in every mount namespace of the node that has files of an earlier one of ours. */
export class Reattach {
  readonly #replacer: MountReplacer;
  #live: LiveInstance | undefined;
  /** Where files of ours were seen last: a heal goes there first. */
  #known = new Map<string, MountNamespace>();
  readonly #locked = new Set<number>();
  /** Namespaces that did not let the worker go, and when they may be entered again, in ms of `performance.now()`. */
  readonly #hanging = new Map<string, number>();
  #queue: Promise<unknown> = Promise.resolve();
  attached: Attached = { containers: 0, files: 0 };
  unhealed: readonly Unhealed[] = [];

  constructor(replacer: MountReplacer) {
    this.#replacer = replacer;
  }

  /** The instance that containers ought to read from, from now on. */
  setLive(live: LiveInstance | undefined): void {
    this.#live = live;
  }

  /** Looks at the whole node until a look finds nothing to do. */
  heal(): Promise<Healed> {
    return this.#enqueue(() => this.#heal());
  }

  /** Looks at the namespace of one process only. */
  healProcess(pid: number): Promise<Healed> {
    return this.#enqueue(async () => {
      const id = namespaceOf(pid);
      const round = new Round();
      if (id && !this.#isNode(id)) await this.#visit({ id, pid }, round);
      return round;
    });
  }

  /** One after the other: two that work on one stack at once would see each other's halves. */
  #enqueue(job: () => Promise<Healed>): Promise<Healed> {
    const result = this.#queue.then(job);
    this.#queue = result.catch(() => {});
    return result;
  }

  async #heal(): Promise<Healed> {
    const total = new Round();
    for (const namespace of this.#known.values()) {
      if (namespaceOf(namespace.pid) === namespace.id) await this.#visit(namespace, total);
    }
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const round = await this.#look();
      total.add(round);
      total.unhealed = round.unhealed;
      if (round.actions === 0) break;
    }
    this.unhealed = total.unhealed;
    return total;
  }

  async #look(): Promise<Round> {
    const round = new Round();
    const known = new Map<string, MountNamespace>();
    let files = 0;
    for (const namespace of mountNamespaces()) {
      if (this.#isNode(namespace.id)) continue;
      const count = await this.#visit(namespace, round);
      if (count === undefined) continue;
      known.set(namespace.id, namespace);
      files += count;
    }
    this.#known = known;
    this.attached = { containers: known.size, files };
    return round;
  }

  /** @returns how many live files it has by what its table said, undefined where it has none of ours at all */
  async #visit(namespace: MountNamespace, round: Round): Promise<number | undefined> {
    const live = this.#live;
    const text = readTable(namespace.pid);
    if (!live || !text.includes(MARKER)) return undefined;
    const mounts = parseMountinfo(text);
    const repairs = planRepairs(mounts, live, this.#locked);
    const count = countLive(mounts, live.device);
    if (repairs.length === 0) return count || undefined;
    for (const { file, isServed } of repairs) if (!isServed) round.missing.add(file);
    if ((this.#hanging.get(namespace.id) ?? 0) > performance.now()) {
      for (const repair of repairs) round.fail(namespace, repair, 'entering its mount namespace hung before');
      return count;
    }
    let results: readonly Replaced[] | undefined;
    try {
      results = await this.#replacer.replace(
        namespace,
        repairs.map((repair) => ({ ...repair, source: repair.isServed ? live.files.get(repair.file) : undefined })),
      );
    } catch (error) {
      if (!(error instanceof NamespaceHangs)) throw error;
      this.#hanging.set(namespace.id, performance.now() + HANGING_RETRY);
      for (const repair of repairs) round.fail(namespace, repair, error.message);
      return count;
    }
    // It has ended: its mounts have gone with it.
    if (!results) return undefined;
    const before = round.files;
    for (const [i, result] of results.entries()) this.#note(namespace, repairs[i] as Repair, result, round);
    if (round.files > before) round.namespaces++;
    return count + round.files - before;
  }

  #note(
    namespace: MountNamespace,
    repair: Repair,
    { attached, detached, locked, failure }: Replaced,
    round: Round,
  ): void {
    if (attached) round.files++;
    if (attached || detached > 0) round.actions++;
    for (const id of locked) this.#locked.add(id);
    // That it is locked is found out once, and what is on top of it then is right.
    if (!failure || (attached && locked.length > 0)) return;
    round.fail(namespace, repair, `${failure.syscall}: ${getSystemErrorName(-failure.errno)}`);
  }

  #isNode(id: string): boolean {
    return id === namespaceOf('self') || id === namespaceOf(1);
  }
}

class Round implements Healed {
  files = 0;
  namespaces = 0;
  /** Paths at which anything was changed. */
  actions = 0;
  unhealed: Unhealed[] = [];
  readonly missing = new Set<string>();

  add(other: Round): void {
    this.files += other.files;
    this.namespaces += other.namespaces;
    this.actions += other.actions;
    for (const file of other.missing) this.missing.add(file);
  }

  fail({ pid }: MountNamespace, { mountPoint }: Repair, reason: string): void {
    this.unhealed.push({ ...identify(pid), pid, path: mountPoint, reason });
  }
}

function identify(pid: number): ContainerIdentity {
  try {
    return parseContainerCgroup(readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
  } catch {
    return {};
  }
}

function readTable(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, 'latin1');
  } catch {
    return '';
  }
}
