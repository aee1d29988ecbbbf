import { constants } from 'node:os';
import type { ChildResult } from './child.ts';
import { SYS_mount } from './constants.ts';
import { findProgram } from './find-program.ts';
import { SpareChild } from './spare-child.ts';

export interface MountRequest {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  /** As mount(8) has them. */
  readonly options: readonly string[];
}

/** `MS_*` of mount(2), by what mount(8) calls them. Every other option is the file system's own. */
const FLAGS: Readonly<Record<string, number>> = {
  rw: 0,
  ro: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  sync: 0x10,
  dirsync: 0x80,
  nosymfollow: 0x100,
  noatime: 0x400,
  nodiratime: 0x800,
  relatime: 0x200000,
  lazytime: 0x2000000,
};

const { ENODEV, EBUSY, EINVAL } = constants.errno;

/** What mount(8) says where the kernel's word for it would say less. */
const WORDS: Readonly<Record<number, (type: string) => string>> = {
  [ENODEV]: (type) => `unknown filesystem type '${type}'`,
  [EBUSY]: () => 'already mounted or busy',
  [EINVAL]: () => 'wrong fs type, bad option or bad superblock',
};

/** What mount(2) takes in place of mount(8)'s options. */
export function mountArguments(options: readonly string[]): { flags: number; data: string } {
  return {
    flags: options.reduce((sum, option) => sum | (FLAGS[option] ?? 0), 0),
    data: options.filter((option) => !Object.hasOwn(FLAGS, option)).join(),
  };
}

/** Its exit code is the errno, which is below 256. */
const PERL = `my ($source, $target, $type, $flags, $data) = @ARGV;
syscall(${SYS_mount}, $source, $target, $type, $flags + 0, $data) == 0 or do { my $errno = $! + 0; print STDERR "$!\\n"; exit $errno };`;

/**
 * Mounts in a child process, which alone may come to hang. It calls mount(2) by itself where there is Perl, as in every Debian: to run
 * mount(8), which does the same in the end, would take it two milliseconds more.
 */
export class MountChild {
  readonly #hasPerl = findProgram('perl') !== undefined;
  readonly #child = new SpareChild(this.#hasPerl ? { perl: PERL } : {});

  /** Has one wait, if none does. To be called when there is nothing more urgent. */
  prepare(): void {
    this.#child.prepare();
  }

  /** The code is 0 where it has been mounted. @param deadline ms @throws where no child can be started */
  async run({ source, target, type, options }: MountRequest, deadline: number): Promise<ChildResult> {
    if (!this.#hasPerl) {
      return this.#child.run('mount', ['-n', '-c', '-i', '-t', type, '-o', options.join(), source, target], deadline);
    }
    const { flags, data } = mountArguments(options);
    const result = await this.#child.run('mount', [source, target, type, String(flags), data], deadline);
    const words = WORDS[result.code ?? 0];
    return words ? { ...result, stderr: words(type) } : result;
  }
}
