import { closeSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { O_CLOEXEC } from './constants.ts';
import { SystemCallError } from './errors.ts';
import { check, libc } from './libc.ts';
import type { Uevent } from './uevent.ts';

/** What one wake-up of the socket brought. */
export interface UeventBatch {
  readonly events: readonly Uevent[];
  /** The kernel had to drop events (`ENOBUFS`): whatever is derived from them has to be looked at again. */
  readonly overflow: boolean;
  /** The mount table of this process has changed. */
  readonly mountsChanged: boolean;
  /** When it was received, in ms of `performance.timeOrigin + performance.now()`. */
  readonly receivedAt: number;
}

export interface UeventOptions {
  /** Only events of these subsystems; all where it is left out. */
  readonly subsystems?: readonly string[];
  /** Only events of devices that have a node, or had one. */
  readonly nodesOnly?: boolean;
  /** Receive buffer in bytes; beyond net.core.rmem_max it takes CAP_NET_ADMIN. */
  readonly receiveBuffer?: number;
  /** Wake up at changes of this process's mount table as well. */
  readonly watchMounts?: boolean;
}

export type UeventWorkerMessage =
  | { readonly type: 'ready' }
  | ({ readonly type: 'batch' } & UeventBatch)
  | { readonly type: 'failed'; readonly syscall: string; readonly errno: number };

export interface UeventListener {
  /** Ends the worker; resolves when it has gone. */
  close(): Promise<void>;
}

/**
 * Listens for kernel uevents in a worker thread, which sleeps in poll(2) until there are some: an idle machine costs nothing.
 * Works without any privilege in each network namespace that belongs to the initial user namespace.
 * @param onFailure nothing is heard any more, although it was
 * @throws SystemCallError where the socket cannot be had
 */
export async function listenForUevents(
  options: UeventOptions,
  onBatch: (batch: UeventBatch) => void,
  onFailure: (error: Error) => void,
): Promise<UeventListener> {
  const stop = check(libc.eventfd(0, O_CLOEXEC), 'eventfd');
  const worker = new Worker(new URL('./uevent-worker.ts', import.meta.url), {
    workerData: { ...options, stop },
    name: 'uevents',
    resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 },
  });
  let isListening = true;
  const gone = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      isListening = false;
      closeSync(stop);
      resolve();
    });
  });
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  let fail: (error: Error) => void = reject;
  worker.on('error', (error: Error) => fail(error));
  worker.on('message', (message: UeventWorkerMessage) => {
    if (message.type === 'batch') onBatch(message);
    else if (message.type === 'failed') fail(new SystemCallError(message.syscall, message.errno, 'uevent socket'));
    else {
      fail = onFailure;
      resolve();
    }
  });
  await ready;
  return {
    async close() {
      // By then, the descriptor's number may be another's.
      if (isListening) writeSync(stop, new BigUint64Array([1n]));
      await gone;
    },
  };
}
