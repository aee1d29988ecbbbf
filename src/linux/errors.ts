import { constants } from 'node:os';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';

/** Errors of file systems and media that libuv, and so Node, has no name for (asm-generic/errno.h). */
const UNNAMED: Readonly<Record<number, readonly [name: string, message: string]>> = {
  116: ['ESTALE', 'stale file handle'],
  117: ['EUCLEAN', 'structure needs cleaning'],
  123: ['ENOMEDIUM', 'no medium found'],
  124: ['EMEDIUMTYPE', 'wrong medium type'],
};

/**
 * A system call that failed, in the shape of Node's own: `code` is the errno's name, `syscall` the call, `path` what it was about.
 */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';
  readonly errno: number;
  readonly code: string;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(syscall: string, errno: number, path?: string) {
    const [code, message] = UNNAMED[errno] ?? [getSystemErrorName(-errno), getSystemErrorMessage(-errno)];
    super(`${code}: ${message}, ${syscall}${path === undefined ? '' : ` '${path}'`}`);
    this.errno = errno;
    this.code = code;
    this.syscall = syscall;
    this.path = path;
  }
}

/** `ENOENT` and the like. */
export const errnoName = (errno: number): string => UNNAMED[errno]?.[0] ?? getSystemErrorName(-errno);

/** The errno's name (`ENOENT`) of an error of ours or Node's, undefined for any other value. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Whether it is an error of the system by one of these names. */
export const isErrno = (error: unknown, ...names: readonly string[]): boolean => names.includes(errorCode(error) ?? '');

/** Errors for want of something that the process or the machine lacks now: they say nothing of the thing that was asked about. */
const SHORTAGES = ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR'] as const;

/** Whether it is an error that the next try may not meet, and that is no answer. @param error an error, or an errno's number */
export const isShortage = (error: unknown): boolean =>
  SHORTAGES.some((name) => (typeof error === 'number' ? constants.errno[name] === error : errorCode(error) === name));

/**
 * Whether what was read of a process in /proc failed since there is no such process, or this one may not know: the only errors that may be
 * taken for an answer. EINVAL is what the mount table of a zombie gives (`mounts_open_common` in fs/proc_namespace.c).
 */
export const isUnreadableProcess = (error: unknown): boolean =>
  isErrno(error, 'ENOENT', 'ESRCH', 'EINVAL', 'EACCES', 'EPERM');
