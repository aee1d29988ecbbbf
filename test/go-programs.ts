import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { REQUIRED } from './settings.ts';

export type Say = (line: string) => void;

/** Programs that nobody packages, and that Go builds from one module. */
export interface GoPrograms {
  /** For messages. */
  readonly name: string;
  readonly version: string;
  /** The directory with go.mod and go.sum, which pin everything. */
  readonly module: string;
  readonly packages: readonly string[];
  /** Of go build: flags of the linker besides those that leave out symbols. */
  readonly linkerFlags?: readonly string[];
  /** What Go calls a program → what it is called. */
  readonly rename?: Readonly<Record<string, string>>;
  /** What builds them, for the message where they are not built. */
  readonly command: string;
}

/** Where programs are kept that are built or unpacked once. */
export const programCache = (): string =>
  process.env['HOTMOUNT_CLUSTER_CACHE'] ?? join(homedir(), '.cache', 'hotmount-cluster');

/**
 * The directory with the programs. They are built where they are not in the cache yet: in CI, or where `HOTMOUNT_CLUSTER_BUILD=1` asks for it.
 * Rejects with the remedy where they cannot be had.
 */
export async function prepareGoPrograms(programs: GoPrograms, say: Say): Promise<string> {
  const { name, version, module, packages, linkerFlags = [], command } = programs;
  const key = createHash('sha256').update(JSON.stringify([version, packages, linkerFlags]));
  for (const file of (await readdir(module)).sort()) key.update(await readFile(join(module, file)));
  const directory = join(
    programCache(),
    `${name.replaceAll(' ', '-')}-${version}-${key.digest('hex').slice(0, 12)}`.toLowerCase(),
  );
  if (existsSync(directory)) return directory;

  if (!REQUIRED && process.env['HOTMOUNT_CLUSTER_BUILD'] !== '1') {
    throw new Error(`no ${name} ${version} has been built here: ${command} does, once, in some minutes`);
  }
  // Built beside and renamed, so that a build that was interrupted is not taken for a whole one.
  const building = `${directory}.${process.pid}`;
  await mkdir(building, { recursive: true });
  try {
    await build(programs, building, say);
    for (const [from, to] of Object.entries(programs.rename ?? {}))
      await rename(join(building, from), join(building, to));
    await rename(building, directory).catch((error: NodeJS.ErrnoException) => {
      // Another run was faster.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return directory;
}

/** How often a line says that the build is still at it, in milliseconds: CI systems end what is silent. */
const PROGRESS_MS = 60_000;

async function build(programs: GoPrograms, into: string, say: Say): Promise<void> {
  const { name, version, module, packages, linkerFlags = [] } = programs;
  const flags = ['-s -w', ...linkerFlags].join(' ');
  const arguments_ = ['build', '-trimpath', '-buildvcs=false', '-ldflags', flags, '-o', `${into}/`, ...packages];
  say(`building ${name} ${version} (once; kept in ${programCache()})`);
  const started = Date.now();
  const minutes = () => `${((Date.now() - started) / 60_000).toFixed(1)} minutes`;
  const progress = setInterval(() => say(`still building ${name}, ${minutes()}`), PROGRESS_MS);
  const child = spawn('go', arguments_, {
    cwd: module,
    // No C compiler is needed, and the machine's own settings for other projects do not apply.
    env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-4_000);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', (error) => reject(new Error(`${name} needs Go to be built (${error.message})`)));
      child.once('close', (code) =>
        code === 0 ? resolve() : reject(new Error(`go build of ${name} failed:\n${output}`)),
      );
    });
  } finally {
    clearInterval(progress);
  }
  say(`built ${name} in ${minutes()}`);
}
