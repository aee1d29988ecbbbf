import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { SYS } from './constants.ts';
import { errorCode, isUnreadableProcess } from './errors.ts';
import { check, libc } from './libc.ts';

/** A descriptor that stands for this process and no later one with its number; readable once it has ended. Linux 5.3. @throws SystemCallError */
export const openPidfd = (pid: number): number =>
  check(libc.syscall(SYS.pidfd_open, 'int', pid, 'uint', 0), 'pidfd_open', String(pid));

/** Whether the process of a pidfd has ended. */
export function hasEnded(pidfd: number): boolean {
  const POLLIN = 1;
  return libc.poll([{ fd: pidfd, events: POLLIN, revents: 0 }], 1, 0) > 0;
}

/** Signals the process itself; a process that has ended is no error. @throws SystemCallError */
export function signalPidfd(pidfd: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    check(
      libc.syscall(SYS.pidfd_send_signal, 'int', pidfd, 'int', constants.signals[signal], 'void *', null, 'uint', 0),
      'pidfd_send_signal',
    );
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

/**
 * When the process started, in clock ticks since boot: with its number, that names it for good. Undefined where there is none, or only
 * its zombie.
 * @throws where it cannot be read for another reason
 */
export function readStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, in parentheses, may hold anything; fields after it are counted from 3 (proc_pid_stat(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return undefined;
  }
}
