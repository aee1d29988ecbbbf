import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName } from '../../linux/errors.ts';
import { type MountReplacer, NamespaceHangs, type Replaced } from '../../linux/mount-replacer.ts';
import { type Mount, parseMountinfo, readMountinfo } from '../../linux/mountinfo.ts';
import { type MountNamespace, mountNamespaces, namespaceOf, nodeNamespaces } from '../../linux/namespaces.ts';
import { readProcessFile } from '../../linux/process-file.ts';
import { type AttachFailure, type AttachResult, Pass } from './attach-pass.ts';
import {
  type Attachment,
  countAttached,
  foreignDevices,
  mayHaveOurs,
  planAttachments,
  type Sources,
} from './attach-plan.ts';

/** What a pass finds in place. */
export interface AttachedCount {
  readonly containers: number;
  readonly files: number;
  /** Other files, which show the node's values: no lxcfs serves them. */
  readonly nodeFiles: number;
}

/** Containers that start and stop all the time must not keep a resync from ending; the next one does what is left. */
const MAX_PASSES = 10;

/** What the worker says where it did not find the mount that was to be replaced. */
const ESTALE = 116;

/** Puts the files of the published lxcfs in place in every mount namespace of the node that has files of an earlier one of ours. */
export class Attacher {
  readonly #replacer: MountReplacer;
  readonly #runDir: string;
  readonly #openNodeFiles: () => Promise<Sources>;
  #served: Sources | undefined;
  /** The node's own, once they were needed. */
  #node: Sources | undefined;
  #opening: Promise<Sources> | undefined;
  /** Both: the live one's come first. */
  #sources: Sources = new Map();
  /** Where files of ours were seen last: a resync goes there first. */
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
  /** Single processes whose turn has not come yet: one more request would find the same. */
  readonly #waiting = new Map<number, Promise<AttachResult>>();
  attached: AttachedCount = { containers: 0, files: 0, nodeFiles: 0 };
  failures: readonly AttachFailure[] = [];

  /** @param openNodeFiles what takes the place of files that are not served; nothing does where it gives none */
  constructor(replacer: MountReplacer, runDir: string, openNodeFiles = async (): Promise<Sources> => new Map()) {
    this.#replacer = replacer;
    this.#runDir = runDir;
    this.#openNodeFiles = openNodeFiles;
  }

  /** Sets what containers read from now on. Moves nobody yet. */
  setSources(served: Sources): void {
    this.#served = served;
    this.#sources = new Map([...(this.#node ?? []), ...served]);
  }

  close(): void {
    for (const { fd } of this.#node?.values() ?? []) closeSync(fd);
    this.#node = undefined;
  }

  /** Attaches every container of the node: passes over all of them until a pass finds nothing to do. */
  attachAll(): Promise<AttachResult> {
    return this.#enqueue(() => this.#attachEverywhere());
  }

  /** Attaches the container of one process only. */
  attachProcess(pid: number): Promise<AttachResult> {
    const waiting = this.#waiting.get(pid);
    if (waiting) return waiting;
    const result = this.#enqueue(async () => {
      this.#waiting.delete(pid);
      const id = namespaceOf(pid);
      const total = new Pass();
      if (!id || this.#nodeNamespaces.has(id)) return total;
      await this.#untilSettled(total, async () => {
        const pass = new Pass();
        await this.#visit({ id, pid }, pass);
        return pass;
      });
      return total;
    });
    this.#waiting.set(pid, result);
    return result;
  }

  /** One after the other: two that work on one stack at once would see each other's halves. */
  #enqueue(job: () => Promise<AttachResult>): Promise<AttachResult> {
    const result = this.#queue.then(() => {
      this.#foreign = foreignDevices(readMountinfo(), this.#runDir);
      this.#nodeNamespaces = nodeNamespaces();
      return job();
    });
    this.#queue = result.catch(() => {});
    return result;
  }

  async #attachEverywhere(): Promise<AttachResult> {
    const total = new Pass();
    await forEach(this.#known.values(), async (namespace) => {
      if (namespaceOf(namespace.pid) === namespace.id) await this.#visit(namespace, total);
    });
    await this.#untilSettled(total, () => this.#pass());
    this.failures = total.failures;
    return total;
  }

  async #untilSettled(total: Pass, run: () => Promise<Pass>): Promise<void> {
    for (let passes = 0; passes < MAX_PASSES; passes++) {
      const pass = await run();
      total.add(pass);
      total.failures = pass.failures;
      if (pass.actions === 0) break;
    }
  }

  async #pass(): Promise<Pass> {
    const pass = new Pass();
    const known = new Map<string, MountNamespace>();
    const count = { files: 0, nodeFiles: 0 };
    const namespaces = mountNamespaces();
    await forEach(namespaces.values(), async (namespace) => {
      if (this.#nodeNamespaces.has(namespace.id)) return;
      const found = await this.#visit(namespace, pass);
      if (!found) return;
      known.set(namespace.id, namespace);
      count.files += found.lxcfs;
      count.nodeFiles += found.node;
    });
    this.#known = known;
    const ids = new Set(namespaces.map(({ id }) => id));
    for (const id of this.#locked.keys()) if (!ids.has(id)) this.#locked.delete(id);
    this.attached = { containers: known.size, ...count };
    return pass;
  }

  /** @returns how many files it has as they should be, by what its table said; undefined where it has none of ours at all */
  async #visit(namespace: MountNamespace, pass: Pass): Promise<{ lxcfs: number; node: number } | undefined> {
    const text = readProcessFile(namespace.pid, 'mountinfo');
    if (!this.#served || !mayHaveOurs(text)) return undefined;
    const mounts = parseMountinfo(text);
    const attachments = await this.#plan(mounts, namespace, pass);
    const count = countAttached(mounts, this.#sources);
    if (attachments.length === 0) return count.lxcfs + count.node > 0 ? count : undefined;
    if (this.#hanging.has(namespace.id)) {
      for (const attachment of attachments) pass.fail(namespace, attachment, 'a way in its mount namespace hangs');
      return count;
    }
    let results: readonly Replaced[] | undefined;
    try {
      results = await this.#replacer.replace(
        namespace,
        attachments.map((attachment) => ({ ...attachment, source: attachment.source?.fd })),
      );
    } catch (error) {
      if (!(error instanceof NamespaceHangs)) throw error;
      this.#hanging.add(namespace.id);
      void error.returned.then(() => this.#hanging.delete(namespace.id));
      for (const attachment of attachments) pass.fail(namespace, attachment, error.message);
      return count;
    }
    // It has ended: its mounts have gone with it.
    if (!results) return undefined;
    const before = pass.files;
    for (const [i, result] of results.entries()) this.#note(namespace, attachments[i] as Attachment, result, pass);
    if (pass.files > before) pass.namespaces++;
    else await sleep(PAUSE);
    return count;
  }

  /** The node's files are opened when the first container needs one. Without them nothing is taken away: they may be had next time. */
  async #plan(mounts: readonly Mount[], namespace: MountNamespace, pass: Pass): Promise<Attachment[]> {
    const known = { locked: this.#lockedIn(namespace, mounts), foreign: this.#foreign, dead: this.dead };
    const attachments = planAttachments(mounts, this.#sources, known);
    if (this.#node || attachments.every(({ source }) => source)) return attachments;
    try {
      this.#opening ??= this.#openNodeFiles().finally(() => {
        this.#opening = undefined;
      });
      this.#node = await this.#opening;
      this.setSources(this.#served ?? new Map());
      return planAttachments(mounts, this.#sources, known);
    } catch (error) {
      const reason = `the node's own file cannot be put there: ${(error as Error).message}`;
      for (const attachment of attachments) if (!attachment.source) pass.fail(namespace, attachment, reason);
      return attachments.filter(({ source }) => source);
    }
  }

  #note(
    namespace: MountNamespace,
    attachment: Attachment,
    { attached, detached, locked, failure }: Replaced,
    pass: Pass,
  ): void {
    if (attached) {
      pass.files++;
      pass.attachedAt = performance.now();
    }
    if (attached || detached > 0) pass.actions++;
    if (locked.length > 0) {
      this.#locked.set(namespace.id, new Set([...(this.#locked.get(namespace.id) ?? []), ...locked]));
    }
    // That it is locked is found out once, and what is on top of it then is right.
    if (!failure || (attached && locked.length > 0)) return;
    const why = failure.errno === ESTALE ? 'its mount table changed meanwhile' : errnoName(failure.errno);
    pass.fail(namespace, attachment, `${failure.syscall}: ${why}`);
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
