// The only program in the test's containers: reads files over and over, and writes a line whenever what comes of it changes.
//   reader PAUSE_US FILE…    ->   <µs, CLOCK_MONOTONIC> <file> <value or -errno>
// The value is MemTotal in kB for a meminfo, the number of processors for a cpuinfo and for a stat, else 1 where anything was read, 0 where
// not. A read that takes 10 ms or more, and longer than those before, is noted; and now and then how many there were, and how many took more
// than 100 ms:
//   # slowest <µs>
//   # reads <number> <number>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char text[1 << 17];

static long read_once(const char *path) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) return -errno;
  size_t length = 0;
  ssize_t n;
  while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0) length += n;
  long error = n < 0 ? errno : 0;
  close(fd);
  if (error) return -error;
  text[length] = 0;
  if (strstr(path, "meminfo")) return strncmp(text, "MemTotal:", 9) ? 0 : atol(text + 9);
  if (strstr(path, "cpuinfo")) {
    long count = 0;
    for (char *at = text; (at = strstr(at, "processor")); at++) count++;
    return count;
  }
  if (!strcmp(path, "/proc/stat")) {
    long count = 0;
    for (char *at = text; (at = strstr(at, "\ncpu")); at++) count++;
    return count;
  }
  return length > 0;
}

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

int main(int argc, char **argv) {
  long last[argc];
  for (int i = 0; i < argc; i++) last[i] = -1000000;
  long long slowest = 10000;
  long reads = 0, slow = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    for (int i = 2; i < argc; i++) {
      long long start = now();
      long value = read_once(argv[i]);
      long long end = now();
      if (end - start > slowest) {
        slowest = end - start;
        printf("# slowest %lld\n", slowest);
      }
      if (end - start > 100000) slow++;
      if (++reads % 100 == 0) printf("# reads %ld %ld\n", reads, slow);
      if (value == last[i]) continue;
      last[i] = value;
      printf("%lld %s %ld\n", end, argv[i], value);
    }
    int pause = atoi(argv[1]);
    if (pause > 0) usleep(pause);
  }
}
