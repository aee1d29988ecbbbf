import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { SystemCallError } from './errors.ts';
import { errno, libc } from './libc.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;
const { EWOULDBLOCK } = constants.errno;

/**
 * Takes the lock of a file or directory (flock(2)), which the kernel gives back when this process ends, however it ends.
 * @returns a function that releases it; undefined if another process holds it
 * @throws SystemCallError
 */
export function tryLock(path: string): (() => void) | undefined {
  const fd = openSync(path, 'r');
  if (libc.flock(fd, LOCK_EX | LOCK_NB) === 0) return () => closeSync(fd);
  const failure = errno();
  closeSync(fd);
  if (failure !== EWOULDBLOCK) throw new SystemCallError('flock', failure, path);
  return undefined;
}

/** ms between two tries. */
const POLL = 20;

/**
 * The same, but waits while another process holds it, and blocks the event loop meanwhile: for short waits at the start.
 * @param patience ms
 * @throws Error where it is not given back in time
 */
export function lockWithin(path: string, patience: number): () => void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (const deadline = performance.now() + patience; ; Atomics.wait(pause, 0, 0, POLL)) {
    const unlock = tryLock(path);
    if (unlock) return unlock;
    if (performance.now() > deadline) {
      throw new Error(
        `another process has had the lock of ${path} for ${patience / 1000} s (its id is in /proc/locks)`,
      );
    }
  }
}
