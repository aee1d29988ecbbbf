import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { SystemCallError } from './errors.ts';
import { type Mount, mountPointBytes } from './mountinfo.ts';
import type { MountNamespace } from './namespaces.ts';
import { Semaphore } from './semaphore.ts';
import { patient } from './slowness.ts';

export interface DetachRequest {
  readonly pid: number;
  /** `mnt:[…]`: entered only where it is still the process's. */
  readonly namespace: string;
  /** Zero-terminated. */
  readonly paths: readonly Uint8Array[];
}

export interface DetachReply {
  /** `O_PATH` descriptors on what was detached: whoever closes the last one pays for the file system's end. */
  readonly held: readonly number[];
  readonly errors: readonly number[];
}

/** How long a visit may take, in ms. Paths can lead over a container's own FUSE mounts, and those can hang. */
const VISIT_DEADLINE = patient(2000);

/** Each visit has a thread, of some 10 MB. */
const semaphore = new Semaphore(2, VISIT_DEADLINE);

export interface Detached {
  /** What went wrong; empty where all was detached, and where that process is not there any more. */
  readonly errors: readonly Error[];
  /** It did not come back in time: another visit would not, either. */
  readonly hangs: boolean;
}

/**
 * Detaches mounts in another namespace, by a worker thread that is made for it: seldom needed, and lost where it hangs. The last
 * reference to each is dropped by a child process: writing back to a disk that has gone can take for ever.
 */
export async function detachIn(namespace: MountNamespace, mounts: readonly Mount[]): Promise<Detached> {
  const release = await semaphore.acquire();
  try {
    const reply = await visit({
      pid: namespace.pid,
      namespace: namespace.id,
      // What is mounted on top, or below, comes first.
      paths: mounts.map(mountPointBytes).reverse(),
    });
    const where = `mount namespace ${namespace.id}`;
    if (reply) {
      return {
        errors: reply.errors.map((errno) => new SystemCallError('umount2', errno, `in ${where}`)),
        hangs: false,
      };
    }
    const message = `${where} (process ${namespace.pid}) did not let go within ${VISIT_DEADLINE} ms`;
    return { errors: [new Error(message)], hangs: true };
  } catch (error) {
    return { errors: [error as Error], hangs: false };
  } finally {
    release();
  }
}

/** Undefined where it takes too long; should it come back later, what it holds is let go then. */
async function visit(request: DetachRequest): Promise<DetachReply | undefined> {
  // libuv's pool starts with its first job. If that ran while the worker is in another namespace, the pool's threads would inherit it.
  await stat('/');
  const worker = new Worker(new URL('./namespace-worker.ts', import.meta.url), {
    name: 'namespaces',
    workerData: request,
    resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
  });
  const { promise, resolve, reject } = Promise.withResolvers<DetachReply | undefined>();
  let deadline: NodeJS.Timeout | undefined;
  worker.once('online', () => {
    deadline = setTimeout(() => {
      worker.unref();
      resolve(undefined);
    }, VISIT_DEADLINE);
  });
  worker.once('message', (reply: DetachReply) => {
    letGo(reply.held);
    resolve(reply);
  });
  worker.once('error', reject);
  try {
    return await promise;
  } finally {
    clearTimeout(deadline);
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
