import { constants } from 'node:os';
import { SystemCallError } from './errors.ts';
import { check, errno, libc } from './libc.ts';

const { ENODATA } = constants.errno;

/** Writes an extended attribute of `path` itself, not of what a symbolic link there points to. @throws SystemCallError */
export function setAttribute(path: string, name: string, value: string): void {
  const bytes = Buffer.from(value);
  check(libc.lsetxattr(path, name, bytes, bytes.length, 0), 'lsetxattr', path);
}

/** The extended attribute's value, undefined where there is none. At most 64 KiB, as much as Linux has them. @throws SystemCallError */
export function getAttribute(path: string, name: string): string | undefined {
  const bytes = Buffer.allocUnsafe(1 << 16);
  const length = Number(libc.lgetxattr(path, name, bytes, bytes.length));
  if (length >= 0) return bytes.toString('utf8', 0, length);
  if (errno() === ENODATA) return undefined;
  throw new SystemCallError('lgetxattr', errno(), path);
}

/** Removes an extended attribute of `path` itself, if there is one. @throws SystemCallError */
export function removeAttribute(path: string, name: string): void {
  if (libc.lremovexattr(path, name) < 0 && errno() !== ENODATA) {
    throw new SystemCallError('lremovexattr', errno(), path);
  }
}
