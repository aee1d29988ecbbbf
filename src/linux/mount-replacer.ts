import { closeSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { SystemCallError } from './errors.ts';
import type { ParentMount } from './mount-tuck.ts';
import type { MountNamespace } from './namespaces.ts';
import { patient } from './slowness.ts';

export interface StackedMount {
  readonly id: number;
  /** The mount that should be there. */
  readonly isLive: boolean;
  /** Whoever reads it gets an error, so it does no harm where it shows for a moment. */
  readonly isDead: boolean;
}

/** What is to be put in place of what is mounted at a path of another namespace. */
export interface ReplaceTarget {
  /** Zero-terminated, as that namespace sees it. */
  readonly path: Uint8Array;
  /** `O_PATH` descriptor on the file or directory, mounted in our own namespace; undefined: take away, put nothing there. */
  readonly source: number | undefined;
  /** What is mounted there and may go, the bottom first. A live one alone is left. */
  readonly stack: readonly StackedMount[];
  /** What the path lies on; undefined where it is not private, and so must not be touched. */
  readonly parent: ParentMount | undefined;
  /** `MOUNT_ATTR_*` to set and clear (mount_setattr(2)). */
  readonly set: number;
  readonly clear: number;
}

export interface Replaced {
  readonly attached: boolean;
  /** How many were detached. */
  readonly detached: number;
  /** Ids of those that the kernel does not let go: copies that a user namespace has inherited. */
  readonly locked: readonly number[];
  readonly failure?: { readonly syscall: string; readonly errno: number };
}

export interface ReplaceRequest {
  readonly type: 'replace';
  readonly id: number;
  readonly pid: number;
  /** Of the namespace, on nsfs. */
  readonly inode: number;
  readonly targets: readonly ReplaceTarget[];
}

export interface ReplaceReply {
  readonly id: number;
  /** One a target; undefined: the namespace was not there any more. */
  readonly results: readonly Replaced[] | undefined;
}

export interface OpenRequest {
  readonly type: 'open';
  readonly id: number;
  readonly paths: readonly string[];
}

interface OpenReply {
  readonly id: number;
  /** Or the negative errno. */
  readonly descriptors: readonly number[];
}

interface Job {
  readonly request: ReplaceRequest | OpenRequest;
  /** For the error. */
  readonly what: string;
  worker: Worker;
  readonly resolve: (reply: ReplaceReply | OpenReply) => void;
  readonly reject: (error: Error) => void;
}

const CLOSED = 'no mounts are replaced any more: this process is ending, or leaves that to another';

const { ENOENT, ENOTDIR, ENOTCONN, ECONNABORTED } = constants.errno;
/** There is no such file, or nobody who would serve it any more. */
const ABSENT: readonly number[] = [ENOENT, ENOTDIR, ENOTCONN, ECONNABORTED];

/** How long a job may take, in ms. Paths can lead over a container's own FUSE mounts, and those can hang. */
const DEADLINE = patient(2000);

/** A call of the worker's has not come back: it waits for a file system that does not answer. Its thread is lost until that does. */
export class NamespaceHangs extends Error {
  override readonly name = 'NamespaceHangs';
  /** Resolves when it no longer hangs, if ever. */
  readonly returned: Promise<void>;

  constructor(message: string, returned: Promise<void>) {
    super(message);
    this.returned = returned;
  }
}

/**
 * Replaces mounts in other mount namespaces, by the mount API and without a binary of theirs: through one worker thread, made at first
 * need and kept.
 */
export class MountReplacer {
  #worker: Worker | undefined;
  #isClosed = false;
  /** Set where the worker is given up: it hangs, and must do nothing more when it comes back. */
  #isAbandoned = new Int32Array(new SharedArrayBuffer(4));
  #nextId = 1;
  /** In the order in which the worker does them. */
  #jobs: Job[] = [];
  #deadline: NodeJS.Timeout | undefined;
  /** Jobs that did not come back, by id, and what to do should they. */
  readonly #hung = new Map<number, () => void>();

  /** Makes the worker, which takes some 20 ms, before it is needed. */
  async warmUp(): Promise<void> {
    await this.#start();
  }

  /**
   * Opens files in our own namespace with `O_PATH`, off the main thread, since the server behind them may hang.
   * @param what they are, for the error
   * @returns a descriptor each, undefined where there is no such file
   * @throws NamespaceHangs, SystemCallError where one cannot be opened now, Error where it is closed
   */
  async open(paths: readonly string[], what: string): Promise<(number | undefined)[]> {
    const { descriptors } = (await this.#ask({ type: 'open', paths }, what)) as OpenReply;
    const failed = descriptors.findIndex((fd) => fd < 0 && !ABSENT.includes(-fd));
    if (failed < 0) return descriptors.map((fd) => (fd < 0 ? undefined : fd));
    for (const fd of descriptors) if (fd >= 0) closeSync(fd);
    throw new SystemCallError('open', -(descriptors[failed] as number), paths[failed]);
  }

  /**
   * There is no moment in which a path shows neither the old nor the new; before Linux 6.5 there is one in user namespaces, and where what
   * the path lies on is not private.
   * @returns one result a target; undefined where the namespace has gone
   * @throws NamespaceHangs, Error where it is closed
   */
  async replace(
    namespace: MountNamespace,
    targets: readonly ReplaceTarget[],
  ): Promise<readonly Replaced[] | undefined> {
    const inode = Number(/\d+/.exec(namespace.id)?.[0]);
    const what = `mount namespace ${namespace.id} (process ${namespace.pid})`;
    return ((await this.#ask({ type: 'replace', pid: namespace.pid, inode, targets }, what)) as ReplaceReply).results;
  }

  /** Nothing is changed any more once this has resolved, unless by a call that hangs. What waits is rejected. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#deadline);
    Atomics.store(this.#isAbandoned, 0, 1);
    const worker = this.#worker;
    this.#worker = undefined;
    for (const { reject } of this.#jobs.splice(0)) reject(new Error(CLOSED));
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const deadline = setTimeout(resolve, DEADLINE);
    // It ends after the call that it is in.
    void Promise.resolve(worker?.terminate()).then(resolve);
    await promise;
    clearTimeout(deadline);
  }

  async #ask(
    job: Omit<ReplaceRequest, 'id'> | Omit<OpenRequest, 'id'>,
    what: string,
  ): Promise<ReplaceReply | OpenReply> {
    const worker = await this.#start();
    if (this.#isClosed) throw new Error(CLOSED);
    const { promise, resolve, reject } = Promise.withResolvers<ReplaceReply | OpenReply>();
    const request = { ...job, id: this.#nextId++ };
    this.#jobs.push({ request, what, worker, resolve, reject });
    worker.postMessage(request);
    if (this.#jobs.length === 1) this.#watch();
    return promise;
  }

  /** Of the jobs that wait, the time counts for the one that the worker is at. */
  #watch(): void {
    clearTimeout(this.#deadline);
    if (this.#jobs.length > 0 && !this.#isClosed) this.#deadline = setTimeout(() => void this.#abandon(), DEADLINE);
  }

  #done(reply: ReplaceReply | OpenReply): void {
    const index = this.#jobs.findIndex(({ request }) => request.id === reply.id);
    if (index >= 0) {
      for (const { resolve } of this.#jobs.splice(index, 1)) resolve(reply);
      this.#watch();
      return;
    }
    // Nobody waits for these any more.
    if ('descriptors' in reply) for (const fd of reply.descriptors) if (fd >= 0) closeSync(fd);
    this.#hung.get(reply.id)?.();
    this.#hung.delete(reply.id);
  }

  /** Gives the worker up, and the others' jobs to another. */
  async #abandon(): Promise<void> {
    Atomics.store(this.#isAbandoned, 0, 1);
    this.#worker = undefined;
    const hung = this.#jobs.shift() as Job;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hung.set(hung.request.id, () => {
      resolve();
      void hung.worker.terminate();
    });
    hung.reject(new NamespaceHangs(`${hung.what} did not answer within ${DEADLINE} ms`, promise));
    if (this.#jobs.length === 0) return;
    let worker: Worker;
    try {
      worker = await this.#start();
    } catch (error) {
      for (const { reject } of this.#jobs.splice(0)) reject(error as Error);
      return;
    }
    for (const job of this.#jobs) {
      if (job.worker === worker) continue;
      job.worker = worker;
      worker.postMessage(job.request);
    }
    this.#watch();
  }

  async #start(): Promise<Worker> {
    if (this.#worker) return this.#worker;
    // libuv's pool starts with its first job. If that ran while the worker is in another namespace, the pool's threads would inherit it.
    await stat('/');
    if (this.#isClosed) throw new Error(CLOSED);
    if (this.#worker) return this.#worker;
    this.#isAbandoned = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL('./mount-replacer-worker.ts', import.meta.url), {
      name: 'namespaces',
      workerData: { isAbandoned: this.#isAbandoned },
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 32 },
    });
    worker.on('message', (reply: ReplaceReply | OpenReply) => this.#done(reply));
    worker.on('error', (error: Error) => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      for (const { reject } of this.#jobs.splice(0)) reject(error);
      clearTimeout(this.#deadline);
    });
    worker.unref();
    this.#worker = worker;
    return worker;
  }
}
