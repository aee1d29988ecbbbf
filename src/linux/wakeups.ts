import { closeSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { EPOLL_EVENT, O_CLOEXEC } from './constants.ts';
import { check, libc } from './libc.ts';

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLET = 0x80000000;

/** `in`: a pidfd whose process has ended. `priority`: a mountinfo whose table has changed. */
export type Readiness = 'in' | 'priority';
const EVENTS: Readonly<Record<Readiness, number>> = { in: 0x001, priority: 0x002 };

/**
 * Tells when descriptors that libuv does not know how to wait for become ready: pidfds, open mountinfos. One worker thread sleeps in
 * epoll_wait(2) for all of them.
 */
export class Wakeups {
  readonly #epoll = check(libc.epoll_create1(O_CLOEXEC), 'epoll_create1');
  readonly #stop = check(libc.eventfd(0, O_CLOEXEC), 'eventfd');
  readonly #callbacks = new Map<number, () => void>();
  readonly #worker: Worker;
  readonly #gone: Promise<void>;
  #nextKey = 1;

  constructor() {
    this.#add(this.#stop, EVENTS.in, 0);
    this.#worker = new Worker(new URL('./wakeup-worker.ts', import.meta.url), {
      workerData: { epoll: this.#epoll },
      name: 'wakeups',
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
    });
    this.#gone = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.#worker.on('message', (keys: number[]) => {
      for (const key of keys) this.#callbacks.get(key)?.();
    });
  }

  /**
   * Calls back each time the descriptor becomes ready, at once where it is already.
   * @returns ends it; must be called before the descriptor is closed
   * @throws SystemCallError
   */
  watch(fd: number, readiness: Readiness, callback: () => void): () => void {
    const key = this.#nextKey++;
    this.#callbacks.set(key, callback);
    this.#add(fd, (EVENTS[readiness] | EPOLLET) >>> 0, key);
    return () => {
      if (this.#callbacks.delete(key)) libc.epoll_ctl(this.#epoll, EPOLL_CTL_DEL, fd, epollEvent(0, 0));
    };
  }

  async close(): Promise<void> {
    this.#callbacks.clear();
    writeSync(this.#stop, new BigUint64Array([1n]));
    await this.#gone;
    closeSync(this.#stop);
    closeSync(this.#epoll);
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
