import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { isErrno } from './errors.ts';

/**
 * Makes a directory, parents included; one that is there stays. Node's own `recursive` never comes back where the kernel makes no
 * directories and says ENOENT: below /proc, and so below `/proc/self/fd/N` once that is closed.
 * @throws Node's error
 */
export function makeDirectories(path: string, mode = 0o755): void {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    if (isErrno(error, 'EEXIST') && statSync(path).isDirectory()) return;
    const parent = dirname(path);
    if (!isErrno(error, 'ENOENT') || parent === path) throw error;
    makeDirectories(parent, mode);
    makeIfMissing(path, mode);
  }
}

/** Another process may have been faster. */
function makeIfMissing(path: string, mode: number): void {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    if (!isErrno(error, 'EEXIST') || !statSync(path).isDirectory()) throw error;
  }
}
