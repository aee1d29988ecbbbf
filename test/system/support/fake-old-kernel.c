// Runs a program as on a kernel that lacks a system call, or a flag in its fifth argument: seccomp answers ENOSYS, or EINVAL.
//   fake-old-kernel PROGRAM ARGUMENT…
// Built with -shared, it does that to the program that it is preloaded into.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

// mount_setattr(2), of Linux 5.12.
#ifndef MISSING
#define MISSING 442
#endif

#ifdef PRELOADED
__attribute__((constructor))
#endif
static void forget(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef MISSING_FLAG
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MISSING, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[4])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MISSING_FLAG, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
#else
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MISSING, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
#endif
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
    perror("prctl");
    exit(1);
  }
}

#ifndef PRELOADED
int main(int argc, char **argv) {
  forget();
  execvp(argv[1], argv + 1);
  perror(argv[1]);
  return 1;
}
#endif
