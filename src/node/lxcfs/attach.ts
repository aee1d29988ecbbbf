import { closeSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName } from '../../linux/errors.ts';
import { type MountReplacer, NamespaceHangs, type Replaced } from '../../linux/mount-replacer.ts';
import { type Mount, parseMountinfo, readMountinfo } from '../../linux/mountinfo.ts';
import { type MountNamespace, mountNamespaces, namespaceOf, nodeNamespaces } from '../../linux/namespaces.ts';
import { type ContainerIdentity, parseContainerCgroup } from '../containers/identity.ts';
import { countLive, foreignDevices, mayHaveOurs, planRepairs, type Repair, type Sources } from './attach-plan.ts';

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
  /** When the last one was, in ms of `performance.now()`; unmounting what was there before takes longer. */
  readonly attachedAt: number | undefined;
  readonly unhealed: readonly Unhealed[];
}

/** What a look finds in place. */
export interface Attached {
  readonly containers: number;
  readonly files: number;
  /** Files besides that show the node's values, for want of an lxcfs that serves them. */
  readonly nodeFiles: number;
}

/** Containers that start and stop all the time must not keep a heal from ending; what is left is done by the next. */
const MAX_LOOKS = 10;

/** What the worker says where it did not find the mount that was to be replaced. */
const ESTALE = 116;

/** Puts the files of the published lxcfs in place in every mount namespace of the node that has files of an earlier one of ours. */
export class Reattach {
  readonly #replacer: MountReplacer;
  readonly #runDir: string;
  readonly #openNodeFiles: () => Promise<Sources>;
  #live: Sources | undefined;
  /** The node's own, once they were needed. */
  #node: Sources | undefined;
  #opening: Promise<Sources> | undefined;
  /** Both: the live one's come first. */
  #sources: Sources = new Map();
  /** Where files of ours were seen last: a heal goes there first. */
  #known = new Map<string, MountNamespace>();
  /** Ids of mounts that the kernel has not let go, by namespace. Both kinds of ids are used again. */
  readonly #locked = new Map<string, ReadonlySet<number>>();
  #nodeNamespaces: ReadonlySet<string | undefined> = new Set();
  #foreign: ReadonlySet<string> = new Set();
  /** Devices of instances that have been ended: it does no harm where their files show for a moment longer. */
  readonly dead = new Set<string>();
  /** Namespaces that have not let a worker go: until they do, none is entered again, for each try costs a thread. */
  readonly #hanging = new Set<string>();
  #queue: Promise<unknown> = Promise.resolve();
  /** Looks at single processes that have not begun yet: one more would find the same. */
  readonly #waiting = new Map<number, Promise<Healed>>();
  attached: Attached = { containers: 0, files: 0, nodeFiles: 0 };
  unhealed: readonly Unhealed[] = [];

  /** @param openNodeFiles what takes the place of files that are not served; nothing does where it gives none */
  constructor(replacer: MountReplacer, runDir: string, openNodeFiles = async (): Promise<Sources> => new Map()) {
    this.#replacer = replacer;
    this.#runDir = runDir;
    this.#openNodeFiles = openNodeFiles;
  }

  /** What containers ought to read from, from now on. */
  setLive(live: Sources): void {
    this.#live = live;
    this.#sources = new Map([...(this.#node ?? []), ...live]);
  }

  close(): void {
    for (const { fd } of this.#node?.values() ?? []) closeSync(fd);
    this.#node = undefined;
  }

  /** Looks at the whole node until a look finds nothing to do. */
  heal(): Promise<Healed> {
    return this.#enqueue(() => this.#heal());
  }

  /** Looks at the namespace of one process only. */
  healProcess(pid: number): Promise<Healed> {
    const waiting = this.#waiting.get(pid);
    if (waiting) return waiting;
    const result = this.#enqueue(async () => {
      this.#waiting.delete(pid);
      const id = namespaceOf(pid);
      const total = new Round();
      if (!id || this.#nodeNamespaces.has(id)) return total;
      await this.#untilNothingIsLeft(total, async () => {
        const round = new Round();
        await this.#visit({ id, pid }, round);
        return round;
      });
      return total;
    });
    this.#waiting.set(pid, result);
    return result;
  }

  /** One after the other: two that work on one stack at once would see each other's halves. */
  #enqueue(job: () => Promise<Healed>): Promise<Healed> {
    const result = this.#queue.then(() => {
      this.#foreign = foreignDevices(readMountinfo(), this.#runDir);
      this.#nodeNamespaces = nodeNamespaces();
      return job();
    });
    this.#queue = result.catch(() => {});
    return result;
  }

  async #heal(): Promise<Healed> {
    const total = new Round();
    await forEach(this.#known.values(), async (namespace) => {
      if (namespaceOf(namespace.pid) === namespace.id) await this.#visit(namespace, total);
    });
    await this.#untilNothingIsLeft(total, () => this.#look());
    this.unhealed = total.unhealed;
    return total;
  }

  async #untilNothingIsLeft(total: Round, look: () => Promise<Round>): Promise<void> {
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const round = await look();
      total.add(round);
      total.unhealed = round.unhealed;
      if (round.actions === 0) break;
    }
  }

  async #look(): Promise<Round> {
    const round = new Round();
    const known = new Map<string, MountNamespace>();
    const count = { files: 0, nodeFiles: 0 };
    const namespaces = mountNamespaces();
    await forEach(namespaces.values(), async (namespace) => {
      if (this.#nodeNamespaces.has(namespace.id)) return;
      const found = await this.#visit(namespace, round);
      if (!found) return;
      known.set(namespace.id, namespace);
      count.files += found.lxcfs;
      count.nodeFiles += found.node;
    });
    this.#known = known;
    const ids = new Set(namespaces.map(({ id }) => id));
    for (const id of this.#locked.keys()) if (!ids.has(id)) this.#locked.delete(id);
    this.attached = { containers: known.size, ...count };
    return round;
  }

  /** @returns how many files it has as they should be, by what its table said; undefined where it has none of ours at all */
  async #visit(namespace: MountNamespace, round: Round): Promise<{ lxcfs: number; node: number } | undefined> {
    const text = readTable(namespace.pid);
    if (!this.#live || !mayHaveOurs(text)) return undefined;
    const mounts = parseMountinfo(text);
    const repairs = await this.#plan(mounts, namespace, round);
    const count = countLive(mounts, this.#sources);
    if (repairs.length === 0) return count.lxcfs + count.node > 0 ? count : undefined;
    if (this.#hanging.has(namespace.id)) {
      for (const repair of repairs) round.fail(namespace, repair, 'a way in its mount namespace hangs');
      return count;
    }
    let results: readonly Replaced[] | undefined;
    try {
      results = await this.#replacer.replace(
        namespace,
        repairs.map((repair) => ({ ...repair, source: repair.source?.fd })),
      );
    } catch (error) {
      if (!(error instanceof NamespaceHangs)) throw error;
      this.#hanging.add(namespace.id);
      void error.returned.then(() => this.#hanging.delete(namespace.id));
      for (const repair of repairs) round.fail(namespace, repair, error.message);
      return count;
    }
    // It has ended: its mounts have gone with it.
    if (!results) return undefined;
    const before = round.files;
    for (const [i, result] of results.entries()) this.#note(namespace, repairs[i] as Repair, result, round);
    if (round.files > before) round.namespaces++;
    else await sleep(PAUSE);
    return count;
  }

  /** The node's files are opened when the first container needs one. Without them nothing is taken away: they may be had next time. */
  async #plan(mounts: readonly Mount[], namespace: MountNamespace, round: Round): Promise<Repair[]> {
    const known = { locked: this.#lockedIn(namespace, mounts), foreign: this.#foreign, dead: this.dead };
    const repairs = planRepairs(mounts, this.#sources, known);
    if (this.#node || repairs.every(({ source }) => source)) return repairs;
    try {
      this.#opening ??= this.#openNodeFiles().finally(() => {
        this.#opening = undefined;
      });
      this.#node = await this.#opening;
      this.setLive(this.#live ?? new Map());
      return planRepairs(mounts, this.#sources, known);
    } catch (error) {
      const reason = `the node's own file cannot be put there: ${(error as Error).message}`;
      for (const repair of repairs) if (!repair.source) round.fail(namespace, repair, reason);
      return repairs.filter(({ source }) => source);
    }
  }

  #note(
    namespace: MountNamespace,
    repair: Repair,
    { attached, detached, locked, failure }: Replaced,
    round: Round,
  ): void {
    if (attached) {
      round.files++;
      round.attachedAt = performance.now();
    }
    if (attached || detached > 0) round.actions++;
    if (locked.length > 0) {
      this.#locked.set(namespace.id, new Set([...(this.#locked.get(namespace.id) ?? []), ...locked]));
    }
    // That it is locked is found out once, and what is on top of it then is right.
    if (!failure || (attached && locked.length > 0)) return;
    const why = failure.errno === ESTALE ? 'its mount table changed meanwhile' : errnoName(failure.errno);
    round.fail(namespace, repair, `${failure.syscall}: ${why}`);
  }

  /** Those that are still there: the next mount with that number is another. */
  #lockedIn({ id: namespace }: MountNamespace, mounts: readonly Mount[]): ReadonlySet<number> {
    const known = this.#locked.get(namespace);
    if (!known) return NONE;
    const locked = known.intersection(new Set(mounts.map(({ id }) => id)));
    this.#locked.set(namespace, locked);
    return locked;
  }
}

const NONE: ReadonlySet<number> = new Set();

/** ms after unmounting dead files of a container, which is not urgent: those who read need the processors, too. */
const PAUSE = 5;

/** So many at a time that the worker never waits for what is next. */
const AT_ONCE = 4;

async function forEach<T>(items: IterableIterator<T>, job: (item: T) => Promise<void>): Promise<void> {
  const next = async (): Promise<void> => {
    for (const item of items) await job(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}

class Round implements Healed {
  files = 0;
  namespaces = 0;
  attachedAt: number | undefined;
  /** Paths at which anything was changed. */
  actions = 0;
  unhealed: Unhealed[] = [];

  add(other: Round): void {
    this.files += other.files;
    this.namespaces += other.namespaces;
    this.attachedAt = other.attachedAt ?? this.attachedAt;
    this.actions += other.actions;
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
