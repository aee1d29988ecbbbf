// Makes one call of a libc function fail, once, in the program that it is preloaded into (ld.so(8)); not in what that starts.
//   LD_PRELOAD=faults.so FAULTS=FILE FAULTS_PROGRAM=node PROGRAM …
// FILE is struct control. Whoever sets `countdown` says which call of `function` fails, -1 for each of them, and with which errno. koffi looks functions up in
// libc itself, where preloading does not reach: so it is given this library in libc's place, and libc is behind it.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Their order is that of FUNCTIONS in faults.ts.
enum function {
  OPEN, READ, WRITE, STAT, READLINK, OPENDIR, MKDIR, RMDIR, UNLINK, RENAME, SYMLINK, MKNOD, MKFIFO, CHMOD, CHOWN, SOCKET, BIND, RECV, EPOLL,
  EPOLL_CTL, EPOLL_WAIT, EVENTFD, INOTIFY, INOTIFY_ADD, PIPE, FORK, SPAWN, THREAD, FLOCK, XATTR_GET, XATTR_SET, XATTR_REMOVE, UMOUNT,
  UNSHARE, SETNS, RENAMEAT, STATX, MOUNT_API, OPENAT2, PIDFD_OPEN, BPF, ACCEPT, FUNCTIONS
};

struct control {
  _Atomic int function, countdown, error, fired;
  _Atomic int calls[FUNCTIONS];
};

static struct control *control;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
  char program[4096];
  ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  const char *file = getenv("FAULTS"), *wanted = getenv("FAULTS_PROGRAM");
  if (length < 0 || !file || !wanted) return;
  program[length] = 0;
  const char *name = strrchr(program, '/');
  if (!name || strcmp(name + 1, wanted)) return;
  int (*real)(const char *, int, ...) = next("open");
  int fd = real(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (shared != MAP_FAILED) control = shared;
}

// libuv ends the process where it cannot wait for a descriptor, and Node where it cannot make one to wait by: only what koffi calls may fail.
static int is_node(void *address) {
  Dl_info caller;
  return dladdr(address, &caller) && strlen(caller.dli_fname) >= 5 && !strcmp(caller.dli_fname + strlen(caller.dli_fname) - 5, "/node");
}

// The error with which this call is to fail; 0: none.
static int fault(enum function function) {
  if (!control) return 0;
  atomic_fetch_add(&control->calls[function], 1);
  if (atomic_load(&control->function) != (int)function || atomic_load(&control->countdown) == 0) return 0;
  if (atomic_load(&control->countdown) > 0 && atomic_fetch_sub(&control->countdown, 1) != 1) return 0;
  atomic_store(&control->fired, 1);
  return atomic_load(&control->error);
}

#define FAIL(function) \
  do { int error_ = fault(function); if (error_) { errno = error_; return -1; } } while (0)
#define WRAP(result, name, function, parameters, arguments) \
  result name parameters { \
    static result(*real) parameters; \
    if (!real) real = next(#name); \
    FAIL(function); \
    return real arguments; \
  }
#define WRAP_OURS(result, name, function, parameters, arguments) \
  result name parameters { \
    static result(*real) parameters; \
    if (!real) real = next(#name); \
    if (control && !is_node(__builtin_return_address(0))) FAIL(function); \
    return real arguments; \
  }

void *dlopen(const char *name, int flags) {
  static void *(*real)(const char *, int);
  if (!real) real = next("dlopen");
  Dl_info self;
  if (control && name && !strcmp(name, "libc.so.6") && dladdr((void *)dlopen, &self)) name = self.dli_fname;
  return real(name, flags);
}

#define WRAP_OPEN(name) \
  int name(const char *path, int flags, ...) { \
    static int (*real)(const char *, int, ...); \
    if (!real) real = next(#name); \
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
    FAIL(OPEN); \
    return real(path, flags, mode); \
  }
#define WRAP_OPENAT(name) \
  int name(int directory, const char *path, int flags, ...) { \
    static int (*real)(int, const char *, int, ...); \
    if (!real) real = next(#name); \
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
    FAIL(OPEN); \
    return real(directory, path, flags, mode); \
  }
#undef open
#undef openat
WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

// Only of files: what threads wake one another with never fails, and libuv ends the process where it does.
static int is_file(int fd) {
  struct stat status;
  return control && !syscall(SYS_fstat, fd, &status) && S_ISREG(status.st_mode);
}
#define WRAP_FILE(name, function, parameters, arguments) \
  ssize_t name parameters { \
    static ssize_t(*real) parameters; \
    if (!real) real = next(#name); \
    if (is_file(fd)) FAIL(function); \
    return real arguments; \
  }
WRAP_FILE(read, READ, (int fd, void *to, size_t size), (fd, to, size))
WRAP_FILE(pread64, READ, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at))
WRAP_FILE(write, WRITE, (int fd, const void *from, size_t size), (fd, from, size))
WRAP_FILE(pwrite64, WRITE, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))

WRAP(ssize_t, readlink, READLINK, (const char *path, char *to, size_t size), (path, to, size))
WRAP(int, mkdir, MKDIR, (const char *path, mode_t mode), (path, mode))
WRAP(int, rmdir, RMDIR, (const char *path), (path))
WRAP(int, unlink, UNLINK, (const char *path), (path))
WRAP(int, rename, RENAME, (const char *from, const char *to), (from, to))
WRAP(int, symlink, SYMLINK, (const char *target, const char *path), (target, path))
WRAP(int, mknod, MKNOD, (const char *path, mode_t mode, dev_t device), (path, mode, device))
WRAP(int, mkfifo, MKFIFO, (const char *path, mode_t mode), (path, mode))
WRAP(int, chmod, CHMOD, (const char *path, mode_t mode), (path, mode))
WRAP(int, chown, CHOWN, (const char *path, uid_t user, gid_t group), (path, user, group))
WRAP(int, socket, SOCKET, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, bind, BIND, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
WRAP(int, accept4, ACCEPT, (int fd, struct sockaddr *address, socklen_t *size, int flags), (fd, address, size, flags))
WRAP(ssize_t, recvfrom, RECV, (int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *length),
     (fd, to, size, flags, from, length))
WRAP_OURS(int, epoll_create1, EPOLL, (int flags), (flags))
WRAP_OURS(int, epoll_ctl, EPOLL_CTL, (int fd, int operation, int other, struct epoll_event *event), (fd, operation, other, event))
// libuv waits by epoll_pwait.
WRAP(int, epoll_wait, EPOLL_WAIT, (int fd, struct epoll_event *events, int count, int timeout), (fd, events, count, timeout))
WRAP_OURS(int, eventfd, EVENTFD, (unsigned initial, int flags), (initial, flags))
WRAP(int, inotify_init1, INOTIFY, (int flags), (flags))
WRAP(int, inotify_add_watch, INOTIFY_ADD, (int fd, const char *path, uint32_t mask), (fd, path, mask))
WRAP_OURS(int, pipe2, PIPE, (int ends[2], int flags), (ends, flags))
WRAP(pid_t, fork, FORK, (void), ())
WRAP(int, flock, FLOCK, (int fd, int operation), (fd, operation))
WRAP(ssize_t, lgetxattr, XATTR_GET, (const char *path, const char *name, void *to, size_t size), (path, name, to, size))
WRAP(int, lsetxattr, XATTR_SET, (const char *path, const char *name, const void *from, size_t size, int flags),
     (path, name, from, size, flags))
WRAP(int, lremovexattr, XATTR_REMOVE, (const char *path, const char *name), (path, name))
WRAP(int, umount2, UMOUNT, (const char *path, int flags), (path, flags))
WRAP(int, unshare, UNSHARE, (int flags), (flags))
WRAP(int, setns, SETNS, (int fd, int type), (fd, type))
WRAP(int, renameat2, RENAMEAT, (int from, const char *a, int to, const char *b, unsigned flags), (from, a, to, b, flags))
WRAP(int, statx, STATX, (int fd, const char *path, int flags, unsigned mask, struct statx *to), (fd, path, flags, mask, to))
#define WRAP_STAT(name) \
  WRAP(int, name, STAT, (int version, const char *path, void *to), (version, path, to))
WRAP_STAT(__xstat64)
WRAP_STAT(__lxstat64)

DIR *opendir(const char *path) {
  static DIR *(*real)(const char *);
  if (!real) real = next("opendir");
  int error = fault(OPENDIR);
  if (error) { errno = error; return NULL; }
  return real(path);
}

#define WRAP_SCANDIR(name, entry) \
  int name(const char *path, struct entry ***list, int (*filter)(const struct entry *), int (*compare)(const struct entry **, const struct entry **)) { \
    static int (*real)(const char *, struct entry ***, int (*)(const struct entry *), int (*)(const struct entry **, const struct entry **)); \
    if (!real) real = next(#name); \
    FAIL(OPENDIR); \
    return real(path, list, filter, compare); \
  }
WRAP_SCANDIR(scandir64, dirent64)

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (!real) real = next("pthread_create");
  int error = fault(THREAD);
  return error ? error : real(thread, attributes, run, argument);
}

int posix_spawnp(pid_t *pid, const char *file, const void *actions, const void *attributes, char *const argv[], char *const env[]) {
  static int (*real)(pid_t *, const char *, const void *, const void *, char *const *, char *const *);
  if (!real) real = next("posix_spawnp");
  int error = fault(SPAWN);
  return error ? error : real(pid, file, actions, attributes, argv, env);
}

long syscall(long number, ...) {
  static long (*real)(long, ...);
  if (!real) real = next("syscall");
  va_list more;
  va_start(more, number);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = va_arg(more, long);
  va_end(more);
  switch (number) {
    case SYS_bpf: FAIL(BPF); break;
    case 434: FAIL(PIDFD_OPEN); break; // pidfd_open
    case 437: FAIL(OPENAT2); break; // openat2
    case 428: case 429: case 430: case 431: case 432: case 442: case 467: FAIL(MOUNT_API); break; // open_tree … fsmount, mount_setattr, open_tree_attr
  }
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
