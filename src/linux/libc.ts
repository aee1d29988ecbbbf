// First, so that an architecture that is not known is refused by its name.
import './constants.ts';
import koffi from 'koffi';
import { SystemCallError } from './errors.ts';

/**
 * libc, bound once a thread. Only what Node has no call for. `syscall(2)` carries the calls that Debian's glibc has no wrapper for;
 * their numbers are in constants.ts.
 */
const lib = koffi.load('libc.so.6');

const pollfd = koffi.struct({ fd: 'int', events: 'int16', revents: 'int16' });
const sockaddrNl = koffi.struct({ family: 'uint16', pad: 'uint16', pid: 'uint32', groups: 'uint32' });

export const libc = {
  syscall: lib.func('long syscall(long, ...)'),
  umount2: lib.func('int umount2(str, int)'),
  mknod: lib.func('int mknod(str, uint, uint64)'),
  lsetxattr: lib.func('int lsetxattr(str, str, const void *, size_t, int)'),
  lgetxattr: lib.func('long lgetxattr(str, str, _Out_ void *, size_t)'),
  lremovexattr: lib.func('int lremovexattr(str, str)'),
  openat: lib.func('int openat(int, str, int, ...)'),
  write: lib.func('long write(int, const void *, size_t)'),
  read: lib.func('long read(int, _Out_ void *, size_t)'),
  lseek: lib.func('int64_t lseek(int, int64_t, int)'),
  flock: lib.func('int flock(int, int)'),
  mkfifo: lib.func('int mkfifo(str, uint)'),
  epoll_create1: lib.func('int epoll_create1(int)'),
  epoll_ctl: lib.func('int epoll_ctl(int, int, int, const void *)'),
  epoll_wait: lib.func('int epoll_wait(int, _Out_ void *, int, int)'),
  ioctl: lib.func('int ioctl(int, ulong, ...)'),
  eventfd: lib.func('int eventfd(uint, int)'),
  socket: lib.func('int socket(int, int, int)'),
  setsockopt: lib.func('int setsockopt(int, int, int, const int *, uint)'),
  bind: lib.func('bind', 'int', ['int', koffi.pointer(sockaddrNl), 'uint']),
  recvfrom: lib.func('recvfrom', 'long', [
    'int',
    koffi.out('void *'),
    'size_t',
    'int',
    koffi.out(koffi.pointer(sockaddrNl)),
    koffi.inout('uint *'),
  ]),
  poll: lib.func('poll', 'int', [koffi.inout(koffi.pointer(pollfd)), 'ulong', 'int']),
  unshare: lib.func('int unshare(int)'),
  setns: lib.func('int setns(int, int)'),
  chroot: lib.func('int chroot(str)'),
  fchdir: lib.func('int fchdir(int)'),
  renameat2: lib.func('int renameat2(int, str, int, str, uint)'),
  statx: lib.func('int statx(int, const void *, int, uint, _Out_ void *)'),
  open: lib.func('int open(const void *, int, ...)'),
  close: lib.func('int close(int)'),
  _exit: lib.func('void _exit(int)'),
  pipe2: lib.func('int pipe2(int *, int)'),
  waitpid: lib.func('int waitpid(int, _Out_ int *, int)'),
  posix_spawn_file_actions_init: lib.func('int posix_spawn_file_actions_init(void *)'),
  posix_spawn_file_actions_destroy: lib.func('int posix_spawn_file_actions_destroy(void *)'),
  posix_spawn_file_actions_adddup2: lib.func('int posix_spawn_file_actions_adddup2(void *, int, int)'),
  posix_spawn_file_actions_addchdir_np: lib.func('int posix_spawn_file_actions_addchdir_np(void *, str)'),
  posix_spawn_file_actions_addclosefrom_np: lib.func('int posix_spawn_file_actions_addclosefrom_np(void *, int)'),
  posix_spawnattr_init: lib.func('int posix_spawnattr_init(void *)'),
  posix_spawnattr_destroy: lib.func('int posix_spawnattr_destroy(void *)'),
  posix_spawnattr_setflags: lib.func('int posix_spawnattr_setflags(void *, short)'),
  posix_spawnattr_setsigdefault: lib.func('int posix_spawnattr_setsigdefault(void *, const void *)'),
  posix_spawnp: lib.func('int posix_spawnp(_Out_ int *, str, void *, void *, const char **, const char **)'),
};

/** The errno of this thread's last call. */
export const errno = (): number => koffi.errno();

/** The call's result, or its error thrown. */
export function check(result: number | bigint, syscall: string, path?: string): number {
  if (Number(result) < 0) throw new SystemCallError(syscall, koffi.errno(), path);
  return Number(result);
}
