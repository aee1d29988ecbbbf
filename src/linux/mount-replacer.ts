import { stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import type { MountNamespace } from './namespaces.ts';

/** What is to be put in place of what is mounted at a path of another namespace. */
export interface ReplaceTarget {
  /** Zero-terminated, as that namespace sees it. */
  readonly path: Uint8Array;
  /** `O_PATH` descriptor on the file or directory, mounted in our own namespace; undefined: take away, put nothing there. */
  readonly source: number | undefined;
  /** What is mounted there and may go, the bottom first. A live one alone is left. */
  readonly stack: readonly { readonly id: number; readonly isLive: boolean }[];
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
  /** -1: there is no such file. */
  readonly descriptors: readonly number[];
}

/** How long a job may take, in ms. Paths can lead over a container's own FUSE mounts, and those can hang. */
const DEADLINE = 2000;

export class NamespaceHangs extends Error {
  override readonly name = 'NamespaceHangs';
}

/**
 * Replaces mounts in other mount namespaces, by the mount API and without a binary of theirs: through one worker thread, made at first
 * need and kept.
 */
export class MountReplacer {
  #worker: Worker | undefined;
  #nextId = 1;
  readonly #waiting = new Map<number, (reply: ReplaceReply | OpenReply | Error) => void>();
  /** A job did not come back: the thread is lost, and with it an orderly end of this process. */
  stuck = false;

  /** Makes the worker, which takes some 20 ms, before it is needed. */
  async warmUp(): Promise<void> {
    await this.#start();
  }

  /**
   * Opens files in our own namespace with `O_PATH`, off the main thread, since the server behind them may hang.
   * @returns a descriptor each, undefined where there is no such file
   * @throws NamespaceHangs
   */
  async open(paths: readonly string[]): Promise<(number | undefined)[]> {
    const reply = (await this.#ask({ type: 'open', paths }, 'opening what lxcfs serves')) as OpenReply;
    return reply.descriptors.map((fd) => (fd < 0 ? undefined : fd));
  }

  /**
   * Where the kernel can (Linux 6.5), there is no moment in which a path shows neither the old nor the new.
   * @returns one result a target; undefined where the namespace has gone
   * @throws NamespaceHangs
   */
  async replace(
    namespace: MountNamespace,
    targets: readonly ReplaceTarget[],
  ): Promise<readonly Replaced[] | undefined> {
    const inode = Number(/\d+/.exec(namespace.id)?.[0]);
    const what = `mount namespace ${namespace.id} (process ${namespace.pid})`;
    return ((await this.#ask({ type: 'replace', pid: namespace.pid, inode, targets }, what)) as ReplaceReply).results;
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  async #ask(
    job: Omit<ReplaceRequest, 'id'> | Omit<OpenRequest, 'id'>,
    what: string,
  ): Promise<ReplaceReply | OpenReply> {
    const worker = await this.#start();
    const id = this.#nextId++;
    const reply = await new Promise<ReplaceReply | OpenReply | Error>((resolve) => {
      const timer = setTimeout(() => {
        this.#lose(worker);
        resolve(new NamespaceHangs(`${what} did not answer within ${DEADLINE} ms`));
      }, DEADLINE);
      this.#waiting.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      worker.postMessage({ ...job, id });
    });
    this.#waiting.delete(id);
    if (reply instanceof Error) throw reply;
    return reply;
  }

  #lose(worker: Worker): void {
    this.stuck = true;
    if (this.#worker === worker) this.#worker = undefined;
  }

  async #start(): Promise<Worker> {
    if (this.#worker) return this.#worker;
    // libuv's pool starts with its first job. Were that made while the worker is abroad, the pool's threads would be born there.
    await stat('/');
    if (this.#worker) return this.#worker;
    const worker = new Worker(new URL('./mount-replacer-worker.ts', import.meta.url), {
      name: 'namespaces',
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 32 },
    });
    worker.on('message', (reply: ReplaceReply | OpenReply) => this.#waiting.get(reply.id)?.(reply));
    worker.on('error', (error: Error) => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const answer of this.#waiting.values()) answer(error);
    });
    worker.unref();
    this.#worker = worker;
    return worker;
  }
}
