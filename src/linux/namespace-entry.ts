import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { SystemCallError } from './errors.ts';
import { type Mount, pathBytes } from './mountinfo.ts';
import type { MountNamespace } from './namespaces.ts';

export interface DetachRequest {
  readonly id: number;
  readonly pid: number;
  /** `mnt:[…]`: entered only where it is still the process's. */
  readonly namespace: string;
  /** Zero-terminated. */
  readonly paths: readonly Uint8Array[];
}

export interface DetachReply {
  readonly id: number;
  /** `O_PATH` descriptors on what was detached: whoever closes the last one pays for the file system's end. */
  readonly held: readonly number[];
  readonly errors: readonly number[];
}

/** How long a visit may take, in ms. Paths can lead over a container's own FUSE mounts, and those can hang. */
const VISIT_DEADLINE = 1000;

/** The way into other mount namespaces: one worker, made at first need and kept. */
export class NamespaceEntry {
  #worker: Worker | undefined;
  #nextId = 1;
  readonly #waiting = new Map<number, (reply: DetachReply) => void>();
  /** A visit did not come back: the thread is lost, and with it an orderly end of this process. */
  stuck = false;

  /**
   * Detaches mounts in another namespace. The last reference to each is dropped by a child process: writing back to a disk that has
   * gone can take for ever.
   * @returns what went wrong; empty where all was detached, and where that process is not there any more
   */
  async detach(namespace: MountNamespace, mounts: readonly Mount[]): Promise<Error[]> {
    const worker = await this.#start();
    const id = this.#nextId++;
    // What is mounted on top, or below, comes first.
    const paths = mounts.map((mount) => Buffer.concat([pathBytes(mount.rawMountPoint), Buffer.of(0)])).reverse();
    const reply = await new Promise<DetachReply | undefined>((resolve) => {
      const timer = setTimeout(() => resolve(undefined), VISIT_DEADLINE);
      this.#waiting.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      worker.postMessage({ id, pid: namespace.pid, namespace: namespace.id, paths } satisfies DetachRequest);
    });
    this.#waiting.delete(id);
    if (!reply) {
      this.stuck = true;
      this.#worker = undefined;
      return [
        new Error(
          `mount namespace ${namespace.id} (process ${namespace.pid}) did not let go within ${VISIT_DEADLINE} ms`,
        ),
      ];
    }
    letGo(reply.held);
    return reply.errors.map((errno) => new SystemCallError('umount2', errno, `in mount namespace ${namespace.id}`));
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  async #start(): Promise<Worker> {
    if (this.#worker) return this.#worker;
    // libuv's pool starts with its first job. Were that made while the worker is abroad, the pool's threads would be born there.
    await stat('/');
    const worker = new Worker(new URL('./namespace-worker.ts', import.meta.url), {
      name: 'namespaces',
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
    });
    worker.on('message', (reply: DetachReply) => this.#waiting.get(reply.id)?.(reply));
    worker.on('error', () => {
      this.#worker = undefined;
    });
    worker.unref();
    this.#worker = worker;
    return worker;
  }
}

/** Closes descriptors in a child process, which may hang in that instead of us. */
function letGo(descriptors: readonly number[]): void {
  if (descriptors.length === 0) return;
  // `cat` ends when its input does, and that is after our own descriptors are closed: the last reference is its own.
  const child = spawn('cat', [], { stdio: ['pipe', 'ignore', 'ignore', ...descriptors] });
  for (const fd of descriptors) closeSync(fd);
  child.on('error', () => {});
  child.stdin?.on('error', () => {});
  child.stdin?.end();
  child.unref();
}
