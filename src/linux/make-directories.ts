import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { isErrno } from './errors.ts';

/**
 * Makes a directory, parents included; one that is there stays. Node's own `recursive` never comes back where the kernel makes no
 * directories and says ENOENT: below /proc, and so below `/proc/self/fd/N` once that is closed.
 * @returns whether it was not there
 * @throws Node's error
 */
export function makeDirectories(path: string, mode = 0o755): boolean {
  try {
    return makeIfMissing(path, mode);
  } catch (error) {
    const parent = dirname(path);
    if (!isErrno(error, 'ENOENT') || parent === path) throw error;
    makeDirectories(parent, mode);
    return makeIfMissing(path, mode);
  }
}

/** Another process may be faster. */
function makeIfMissing(path: string, mode: number): boolean {
  try {
    mkdirSync(path, mode);
    return true;
  } catch (error) {
    if (!isErrno(error, 'EEXIST') || !statSync(path).isDirectory()) throw error;
    return false;
  }
}
