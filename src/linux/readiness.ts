import { closeSync, openSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { EPOLL_EVENT, O_CLOEXEC } from './constants.ts';
import { check, libc } from './libc.ts';

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLET = 0x80000000;

/** `readable`: data has come, or the process of a pidfd has ended. `changed`: the table behind an open mountinfo has changed. */
export type Readiness = 'readable' | 'changed';
/** EPOLLIN and EPOLLPRI. */
const EVENTS: Readonly<Record<Readiness, number>> = { readable: 0x001, changed: 0x002 };

/**
 * Calls back each time a descriptor that libuv cannot wait for becomes ready, and at once where it already is. Edge-triggered: the
 * callback reads all there is. An idle process costs nothing: one worker thread for all of them sleeps in epoll_wait(2).
 * @returns ends it; must be called before the descriptor is closed
 * @throws SystemCallError
 */
export function watchReadiness(fd: number, readiness: Readiness, callback: () => void): () => void {
  waiter ??= new Waiter();
  const { watch } = waiter;
  return watch(fd, readiness, callback);
}

/** Calls back when the mount table of this process changes. @returns ends it @throws SystemCallError, or Node's own error */
export const watchMountTable = (callback: () => void): (() => void) => watchTable('/proc/self/mountinfo', callback);

/** Calls back when swap is switched on or off. @returns ends it @throws SystemCallError, or Node's own error */
export const watchSwaps = (callback: () => void): (() => void) => watchTable('/proc/swaps', callback);

function watchTable(path: string, callback: () => void): () => void {
  // The kernel notes at each poll which state was seen (mounts_poll in fs/proc_namespace.c, swaps_poll in mm/swapfile.c): no read is
  // needed to arm it again.
  const table = openSync(path, 'r');
  try {
    const unwatch = watchReadiness(table, 'changed', callback);
    return () => {
      unwatch();
      closeSync(table);
    };
  } catch (error) {
    closeSync(table);
    throw error;
  }
}

/** There is one as long as something is watched. */
let waiter: Waiter | undefined;

class Waiter {
  readonly #epoll: number;
  readonly #stop: number;
  readonly #callbacks = new Map<number, () => void>();
  #nextKey = 1;

  constructor() {
    this.#epoll = check(libc.epoll_create1(O_CLOEXEC), 'epoll_create1');
    try {
      this.#stop = check(libc.eventfd(0, O_CLOEXEC), 'eventfd');
    } catch (error) {
      closeSync(this.#epoll);
      throw error;
    }
    this.#add(this.#stop, EVENTS.readable, 0);
    const worker = new Worker(new URL('./readiness-worker.ts', import.meta.url), {
      workerData: { epoll: this.#epoll },
      name: 'readiness',
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
    });
    worker.on('message', (keys: number[]) => {
      for (const key of keys) this.#callbacks.get(key)?.();
    });
    // No event arrives any more. A restarted process resyncs everything.
    worker.on('error', (cause) => {
      throw new Error(`the thread that waits for the kernel has ended: ${(cause as Error).message}`, { cause });
    });
    // The end of a process waits for its threads, and this one sleeps in a system call.
    process.on('exit', this.#wake);
    worker.once('exit', () => {
      process.off('exit', this.#wake);
      closeSync(this.#stop);
      closeSync(this.#epoll);
    });
  }

  readonly watch = (fd: number, readiness: Readiness, callback: () => void): (() => void) => {
    const key = this.#nextKey++;
    try {
      this.#add(fd, (EVENTS[readiness] | EPOLLET) >>> 0, key);
    } catch (error) {
      this.#endIfIdle();
      throw error;
    }
    this.#callbacks.set(key, callback);
    return () => {
      if (!this.#callbacks.delete(key)) return;
      libc.epoll_ctl(this.#epoll, EPOLL_CTL_DEL, fd, epollEvent(0, 0));
      this.#endIfIdle();
    };
  };

  readonly #wake = (): void => void writeSync(this.#stop, new BigUint64Array([1n]));

  #endIfIdle(): void {
    if (this.#callbacks.size > 0) return;
    if (waiter === this) waiter = undefined;
    this.#wake();
  }

  #add(fd: number, events: number, key: number): void {
    check(libc.epoll_ctl(this.#epoll, EPOLL_CTL_ADD, fd, epollEvent(events, key)), 'epoll_ctl', String(fd));
  }
}

function epollEvent(events: number, key: number): Buffer {
  const event = Buffer.alloc(EPOLL_EVENT.bytes);
  event.writeUInt32LE(events, 0);
  event.writeUInt32LE(key, EPOLL_EVENT.data);
  return event;
}
