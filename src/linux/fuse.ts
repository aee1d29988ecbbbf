import { closeSync, readFileSync, writeFileSync } from 'node:fs';
import { errorCode } from './errors.ts';
import { createFileSystem } from './mounts.ts';

/**
 * Aborts the connection behind a FUSE mount: every request that waits for its server fails at once, whoever made it. `device` is
 * mountinfo's `major:minor`; the minor names the connection (Documentation/filesystems/fuse.rst). Works where fusectl is not mounted, for
 * it is mounted here, attached nowhere.
 * @returns false where there is no such connection any more
 * @throws SystemCallError
 */
export function abortFuse(device: string): boolean {
  const abort = (connection: string): true => {
    writeFileSync(`${connection}/abort`, '1', { flag: 'r+' });
    return true;
  };
  return atConnection(device, abort) ?? false;
}

/**
 * Requests of whoever uses a FUSE mount that its server has not answered yet.
 * @returns 0 where there is no such connection any more
 * @throws SystemCallError
 */
export function waitingRequests(device: string): number {
  return atConnection(device, (connection) => Number(readFileSync(`${connection}/waiting`, 'latin1'))) ?? 0;
}

/** @returns undefined where there is no such connection */
function atConnection<T>(device: string, act: (path: string) => T): T | undefined {
  const connections = createFileSystem('fusectl', 'fusectl', {}, []);
  try {
    return act(`/proc/self/fd/${connections}/${device.split(':')[1]}`);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  } finally {
    closeSync(connections);
  }
}
