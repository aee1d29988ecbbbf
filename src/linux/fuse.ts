import { closeSync, writeFileSync } from 'node:fs';
import { errorCode } from './errors.ts';
import { check, libc } from './libc.ts';

const SYS = { fsopen: 430, fsconfig: 431, fsmount: 432 };

/**
 * Aborts the connection behind a FUSE mount: every request that waits for its server fails at once, whoever made it. `device` is
 * mountinfo's `major:minor`; the minor names the connection (Documentation/filesystems/fuse.rst). Works where fusectl is not mounted, for
 * it is mounted here, attached nowhere.
 * @returns false where there is no such connection any more
 * @throws SystemCallError
 */
export function abortFuse(device: string): boolean {
  const context = check(libc.syscall(SYS.fsopen, 'str', 'fusectl', 'uint', 1), 'fsopen', 'fusectl');
  let mount: number | undefined;
  try {
    check(
      libc.syscall(SYS.fsconfig, 'int', context, 'uint', 6, 'str', null, 'str', null, 'int', 0),
      'fsconfig',
      'fusectl',
    );
    mount = check(libc.syscall(SYS.fsmount, 'int', context, 'uint', 1, 'uint', 0), 'fsmount', 'fusectl');
    writeFileSync(`/proc/self/fd/${mount}/${device.split(':')[1]}/abort`, '1', { flag: 'r+' });
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  } finally {
    if (mount !== undefined) closeSync(mount);
    closeSync(context);
  }
}
