// Preloaded into lxcfs 5.0.3, has its dead-lock happen (lxcfs issue 605) rather than wait for two moments of some microseconds to meet:
//
//   the thread that keeps load averages                     the first reader in a cgroup with the same hash
//   locks the mutex of the hash
//   finds a cgroup gone, and is to forget it                locks the lock of the hash, shared
//   locks the lock of the hash, alone: waits                locks the mutex of the hash: waits
//
// Where the file ARMED is there, the first thread makes the file FORGETS in its third step, and goes on when the reader is in its second.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static __thread int keeps_loads;
static pthread_mutex_t *volatile held;
static volatile int is_awaited;

static void pause_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

// Only that thread sleeps: for 5 s, to look at all cgroups again. Here, more often.
int usleep(useconds_t time) {
  keeps_loads = 1;
  pause_ms(time / 50000);
  return 0;
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
  static int (*lock)(pthread_mutex_t *);
  if (!lock) lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
  if (keeps_loads) held = mutex;
  else if (mutex == held) is_awaited = 1;
  return lock(mutex);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *rwlock) {
  static int (*lock)(pthread_rwlock_t *);
  if (!lock) lock = dlsym(RTLD_NEXT, "pthread_rwlock_wrlock");
  if (keeps_loads && !unlink(ARMED)) {
    is_awaited = 0;
    close(open(FORGETS, O_CREAT | O_WRONLY, 0600));
    for (int i = 0; i < 3000 && !is_awaited; i++) pause_ms(10);
  }
  return lock(rwlock);
}
