import { closeSync, openSync } from 'node:fs';
import { SystemCallError } from './errors.ts';
import { errno, libc } from './libc.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

/**
 * Takes the lock of a file or directory (flock(2)), which the kernel gives back when this process ends, however it ends.
 * @returns what gives it back, undefined where another process has it
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
