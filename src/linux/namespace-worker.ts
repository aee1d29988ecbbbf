import { closeSync, openSync, readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { CLONE_FS, CLONE_NEWNS, MNT_DETACH, O_CLOEXEC, O_NOFOLLOW, O_PATH, UMOUNT_NOFOLLOW } from './constants.ts';
import { errnoName, isUnreadableProcess } from './errors.ts';
import { abort } from './exit.ts';
import { check, errno, libc } from './libc.ts';
import type { DetachReply, DetachRequest } from './namespace-entry.ts';

/**
 * A thread that enters one other mount namespace, comes back and ends. Between the two setns(2) it makes nothing but the calls bound
 * beforehand: an import, a child process or Node's own file calls there would find the container's files and take them for the host's.
 */
// This thread's: the main thread is in another namespace for moments.
const home = openSync('/proc/thread-self/ns/mnt', 'r');
// Root and working directory are shared among threads until then, and setns(CLONE_NEWNS) refuses to change them for others.
check(libc.unshare(CLONE_FS), 'unshare');
parentPort?.postMessage(detach(workerData as DetachRequest));
closeSync(home);

function detach({ pid, namespace: wanted, paths }: DetachRequest): DetachReply {
  const held: number[] = [];
  const errors: number[] = [];
  let namespace: number;
  try {
    namespace = openSync(`/proc/${pid}/ns/mnt`, 'r');
  } catch (error) {
    const { errno = 0 } = error as NodeJS.ErrnoException;
    return { held, errors: isUnreadableProcess(error) ? [] : [-errno] };
  }
  // The process may have ended, and another have its number.
  const isWanted = readlinkSync(`/proc/thread-self/fd/${namespace}`) === wanted;
  if (isWanted && libc.setns(namespace, CLONE_NEWNS) < 0) errors.push(errno());
  else if (isWanted) {
    for (const path of paths) {
      const fd = libc.open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
      if (fd >= 0) held.push(fd);
      if (libc.umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0) errors.push(errno());
    }
    if (libc.setns(home, CLONE_NEWNS) < 0)
      abort(`a thread cannot come back to its own mount namespace: ${errnoName(errno())}`);
  }
  closeSync(namespace);
  return { held, errors };
}
