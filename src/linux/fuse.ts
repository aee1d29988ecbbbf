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
export const abortFuse = (device: string): boolean =>
  withConnection(device, (path) => {
    writeFileSync(`${path}/abort`, '1', { flag: 'r+' });
    return true;
  }) ?? false;

/**
 * How many requests the server behind a FUSE mount has not answered; 0 where there is no such connection any more.
 * @throws SystemCallError
 */
export const openFuseRequests = (device: string): number =>
  withConnection(device, (path) => Number(readFileSync(`${path}/waiting`, 'latin1'))) ?? 0;

/** @returns undefined where there is no such connection */
function withConnection<T>(device: string, use: (path: string) => T): T | undefined {
  const connections = createFileSystem('fusectl', 'fusectl', {}, []);
  try {
    return use(`/proc/self/fd/${connections}/${device.split(':')[1]}`);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  } finally {
    closeSync(connections);
  }
}
