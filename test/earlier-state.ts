import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const CHECKOUT = join(import.meta.dirname, '..');
const git = (...args: string[]): string => execFileSync('git', ['-C', CHECKOUT, ...args], { encoding: 'utf8' }).trim();

/** The last release, or while there is none, the state before `paths` were last changed; undefined where git knows of neither. */
export function earlierState(...paths: readonly string[]): string | undefined {
  try {
    const released = git('tag', '--list', 'v*', '--sort=-v:refname').split('\n')[0];
    return released || git('log', '-2', '--format=%H', '--', ...paths).split('\n')[1];
  } catch {
    // No git, or no repository of its own.
    return undefined;
  }
}

/** Writes `paths` as they were in a state to a directory, which is made. */
export function extractState(state: string, directory: string, ...paths: readonly string[]): void {
  mkdirSync(directory, { recursive: true });
  const archive = execFileSync('git', ['-C', CHECKOUT, 'archive', state, ...paths], { maxBuffer: 2 ** 28 });
  execFileSync('tar', ['-x', '-C', directory], { input: archive });
}
