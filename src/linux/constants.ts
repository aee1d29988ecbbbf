import { constants } from 'node:fs';

/** What the kernel's numbers are on one architecture. Structures that are the same on all of them stay with the code that reads them. */
interface Architecture {
  readonly O_PATH: number;
  /** Also `SOCK_CLOEXEC`, `EFD_CLOEXEC`, `EPOLL_CLOEXEC` and `OPEN_TREE_CLOEXEC`, which are defined as this. */
  readonly O_CLOEXEC: number;
  readonly SYS_bpf: number;
  readonly SYS_mount: number;
  /** Bytes of a `struct epoll_event`, and where its `data` begins: it is packed on x86-64 only (linux/eventpoll.h). */
  readonly epollEvent: { readonly bytes: number; readonly data: number };
}

/** asm-generic/fcntl.h: alpha, parisc and sparc alone have other numbers for these two. */
const GENERIC = { O_PATH: 0o10000000, O_CLOEXEC: 0o2000000 } as const;

const ARCHITECTURES: Partial<Record<string, Architecture>> = {
  x64: { ...GENERIC, SYS_bpf: 321, SYS_mount: 165, epollEvent: { bytes: 12, data: 4 } },
  arm64: { ...GENERIC, SYS_bpf: 280, SYS_mount: 40, epollEvent: { bytes: 16, data: 8 } },
};

/** @throws Error that names the architecture where hotmount does not know its numbers: a wrong one would do something else, not fail */
export function constantsOf(architecture: string): Architecture {
  const found = ARCHITECTURES[architecture];
  if (found) return found;
  const known = Object.keys(ARCHITECTURES).join(' and ');
  throw new Error(`hotmount's node programs run on ${known}; the system calls of ${architecture} are not known`);
}

/** Of this process. `O_DIRECTORY` and `O_NOFOLLOW` differ as well, and Node knows them. */
export const { O_PATH, O_CLOEXEC, SYS_bpf, SYS_mount, epollEvent: EPOLL_EVENT } = constantsOf(process.arch);
export const { O_DIRECTORY, O_NOFOLLOW } = constants;

/** System calls that glibc has no wrapper for. From 424 on, every architecture has the same numbers (scripts/syscall.tbl). */
export const SYS = {
  bpf: SYS_bpf,
  pidfd_send_signal: 424,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  pidfd_open: 434,
  openat2: 437,
  mount_setattr: 442,
  open_tree_attr: 467,
} as const;

/** linux/fcntl.h */
export const AT_FDCWD = -100;
export const AT_EMPTY_PATH = 0x1000;
export const AT_RECURSIVE = 0x8000;

/** linux/sched.h */
export const CLONE_FS = 0x200;
export const CLONE_NEWNS = 0x20000;
export const CLONE_NEWCGROUP = 0x2000000;

/** linux/fs.h, for umount2(2). */
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;
