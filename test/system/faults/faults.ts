import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { type Rig, run } from '../support/rig.ts';

/** In the order of `enum function` in faults.c. */
export const FUNCTIONS = [
  ...['open', 'read', 'write', 'stat', 'readlink', 'opendir', 'mkdir', 'rmdir', 'unlink', 'rename', 'symlink', 'mknod'],
  ...['mkfifo', 'chmod', 'chown', 'socket', 'bind', 'recvfrom', 'epoll_create1', 'epoll_ctl', 'epoll_wait', 'eventfd'],
  ...['inotify_init1', 'inotify_add_watch', 'pipe2', 'fork', 'posix_spawnp', 'pthread_create', 'flock', 'lgetxattr'],
  ...['lsetxattr', 'lremovexattr', 'umount2', 'unshare', 'setns', 'renameat2', 'statx', 'mount API', 'openat2'],
  ...['pidfd_open', 'bpf', 'accept4'],
] as const;

export const ERRORS = ['EMFILE', 'ENOMEM', 'ENOSPC', 'EAGAIN', 'EIO'] as const;

/** Byte offsets in `struct control`. */
const [FUNCTION, COUNTDOWN, ERROR, FIRED, CALLS] = [0, 4, 8, 12, 16];

/** Makes single calls of libc fail in one process (faults.c). */
export class Faults {
  /** For the process's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly #control: number;

  constructor(rig: Rig) {
    const library = rig.path('faults.so');
    const source = join(import.meta.dirname, 'faults.c');
    run('gcc', '-O1', '-shared', '-fPIC', '-Wall', '-Wextra', '-Werror', '-o', library, source, '-ldl');
    const file = rig.path('faults');
    this.#control = openSync(file, 'w+');
    writeSync(this.#control, Buffer.alloc(4096));
    rig.onClose('disk', () => closeSync(this.#control));
    this.env = { LD_PRELOAD: library, FAULTS: file, FAULTS_PROGRAM: 'node' };
  }

  /** The nth call from now on fails, and no other; or each of them. */
  arm(name: (typeof FUNCTIONS)[number], n: number | 'each', error: (typeof ERRORS)[number]): void {
    this.#write(COUNTDOWN, 0);
    this.#write(FIRED, 0);
    this.#write(FUNCTION, FUNCTIONS.indexOf(name));
    this.#write(ERROR, constants.errno[error]);
    this.#write(COUNTDOWN, n === 'each' ? -1 : n);
  }

  disarm(): void {
    this.#write(COUNTDOWN, 0);
  }

  get hasFired(): boolean {
    return this.#read(FIRED) === 1;
  }

  /** How often each function has been called since the start. */
  get calls(): ReadonlyMap<(typeof FUNCTIONS)[number], number> {
    return new Map(FUNCTIONS.map((name, i) => [name, this.#read(CALLS + 4 * i)]));
  }

  #write(offset: number, value: number): void {
    writeSync(this.#control, new Int32Array([value]), 0, 4, offset);
  }

  #read(offset: number): number {
    const value = new Int32Array(1);
    readSync(this.#control, value, 0, 4, offset);
    return value[0] as number;
  }
}
