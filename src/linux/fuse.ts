import { closeSync, writeFileSync } from 'node:fs';
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
  const connections = createFileSystem('fusectl', 'fusectl', {}, []);
  try {
    writeFileSync(`/proc/self/fd/${connections}/${device.split(':')[1]}/abort`, '1', { flag: 'r+' });
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  } finally {
    closeSync(connections);
  }
}
