import { chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Rig, run } from '../support/rig.ts';

/** Where Debian's lxcfs has been told that its library lies. */
const LIBDIR = '/usr/lib/x86_64-linux-gnu';

/**
 * An lxcfs of the test's own, to be found first in the `PATH` of a supervisor, and to be replaced, broken and mended: the machine's
 * program and library, copied, and the program taught to load that library.
 */
export class Installation {
  /** To be put before a PATH. */
  readonly path: string;
  readonly #root: string;

  constructor(rig: Rig) {
    // In place of a string in the program, so it cannot be longer than that.
    this.#root = mkdtempSync(join(tmpdir(), 'hm-'));
    rig.onClose('disk', () => rmSync(this.#root, { recursive: true, force: true }));
    mkdirSync(`${this.#root}/lxcfs`);
    mkdirSync(`${this.#root}/bin`);
    this.path = `${this.#root}/bin:`;
    this.installLibrary();
    this.installProgram();
  }

  installProgram(): void {
    const program = readFileSync(run('sh', '-c', 'command -v lxcfs'));
    replace(program, `${LIBDIR}\0`, this.#root.padEnd(LIBDIR.length + 1, '\0'));
    this.#put('bin/lxcfs', program);
  }

  /** @param without a view that it does not serve, as those before it was thought of: its name is another there */
  installLibrary({ without }: { without?: string } = {}): void {
    const library = readFileSync(`${LIBDIR}/lxcfs/liblxcfs.so`);
    if (without !== undefined) {
      replace(library, `\0/proc/${without}\0`, `\0/proc/${without.replace(/.$/, '_')}\0`);
      replace(library, `\0${without}\0`, `\0${without.replace(/.$/, '_')}\0`);
    }
    this.#put('lxcfs/liblxcfs.so', library);
  }

  /** It is what it was to those who ask what it is, and ends as soon as it is to serve. */
  breakProgram(): void {
    const real = run('sh', '-c', 'command -v lxcfs');
    this.#put(
      'bin/lxcfs',
      `#!/bin/sh\ncase $1 in --version | --help) exec ${real} "$1" ;; esac\necho 'no luck' >&2\nexit 1\n`,
    );
  }

  /** The next one to start takes this much memory at once, and it alone. */
  makeLarge(mebibytes: number): void {
    const source = `${this.#root}/large.c`;
    writeFileSync(
      source,
      `#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>
      static char *kept;
      __attribute__((constructor)) static void grow(void) {
        if (unlink("${this.#root}/grow")) return;
        kept = malloc(${mebibytes}L << 20);
        memset(kept, 1, ${mebibytes}L << 20);
      }\n`,
    );
    this.#preload(source);
    writeFileSync(`${this.#root}/grow`, '');
  }

  /**
   * It locks itself out, as in deadlock.c.
   * @returns has it happen the next time that a cgroup is forgotten, and the path of the file that is there from when it is
   */
  makeDeadlock(): { arm: () => void; forgets: string } {
    const [armed, forgets] = [`${this.#root}/armed`, `${this.#root}/forgets`];
    this.#preload(join(import.meta.dirname, 'deadlock.c'), `-DARMED="${armed}"`, `-DFORGETS="${forgets}"`);
    return { arm: () => writeFileSync(armed, ''), forgets };
  }

  /** It is newer than all others, and is not started so that it would know limits of processors: it tells how many the node has. */
  installUntrue(): void {
    const real = run('sh', '-c', 'command -v lxcfs');
    this.#put('bin/lxcfs', `#!/bin/sh\ncase $1 in --version) echo 99.0 ;; --help) ;; *) exec ${real} "$@" ;; esac\n`);
  }

  /** The program is started with a library of its own. */
  #preload(source: string, ...flags: string[]): void {
    const library = `${this.#root}/preloaded.so`;
    run('gcc', '-shared', '-fPIC', ...flags, '-o', library, source);
    mkdirSync(`${this.#root}/real`);
    renameSync(`${this.#root}/bin/lxcfs`, `${this.#root}/real/lxcfs`);
    const preload = `case $1 in --*) ;; *) export LD_PRELOAD=${library} ;; esac`;
    this.#put('bin/lxcfs', `#!/bin/sh\n${preload}\nexec ${this.#root}/real/lxcfs "$@"\n`);
  }

  /** The next one of the PATH is the machine's own. */
  removeProgram(): void {
    rmSync(`${this.#root}/bin/lxcfs`);
  }

  /** It is one that will not do. */
  installTooOld(): void {
    this.#put('bin/lxcfs', '#!/bin/sh\necho 2.0.8\n');
  }

  /** As package managers do: nobody sees half a file. */
  #put(name: string, content: Buffer | string): void {
    const path = join(this.#root, name);
    writeFileSync(`${path}.new`, content);
    chmodSync(`${path}.new`, 0o755);
    renameSync(`${path}.new`, path);
  }
}

/** @throws where it does not occur */
function replace(binary: Buffer, from: string, to: string): void {
  const at = binary.indexOf(from, 0, 'latin1');
  if (at < 0) throw new Error(`${JSON.stringify(from)} is not in it`);
  binary.write(to, at, 'latin1');
}

/** lxcfs 6.0 and newer serve nobody where they may not read this: where the first process has a capability that they have not. */
export function newerLxcfsRuns(): boolean {
  try {
    return readFileSync('/proc/1/personality').length > 0;
  } catch {
    return false;
  }
}
