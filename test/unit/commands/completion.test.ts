import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { completionScript } from '../../../src/commands/completion.ts';
import { loadCommands } from '../../../tools/man.ts';
import { REQUIRED } from '../../settings.ts';

const commands = await loadCommands();
const directory = mkdtempSync(join(tmpdir(), 'hotmount-completion-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** What a real shell offers after some words, the last of which is being written. */
const ask = {
  bash: (words: readonly string[]) => `source "$1"
COMP_WORDS=(hotmount ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}
_hotmount; printf '%s\\n' "\${COMPREPLY[@]}"`,
  // What zsh's own completion would do with the words is not asked: these are they.
  zsh: (
    words: readonly string[],
  ) => `_describe() { print -rl -- \${(P)2%%:*} } ; compadd() { shift; print -rl -- "$@" } ; _files() { : }
source "$1"
words=(hotmount ${words.map((word) => `'${word}'`).join(' ')}); CURRENT=${words.length + 1}
_hotmount`,
  fish: (words: readonly string[]) => `source $argv[1]; complete -C 'hotmount ${words.join(' ')}' | cut -f1`,
};

describe.each(Object.keys(ask) as (keyof typeof ask)[])('hotmount completion %s', (shell) => {
  const script = join(directory, shell);
  writeFileSync(script, completionScript(shell, commands));
  const isThere = REQUIRED || spawnSync(shell, ['-c', 'true']).status === 0;

  it.skipIf(!isThere).each([
    [[''], ['inject', 'kubectl', 'node', 'webhook']],
    [['policy', ''], ['check']],
    [
      ['kubectl', ''],
      ['status', 'explain', 'check', 'eject'],
    ],
    [
      ['kubectl', 'status', '-'],
      ['--context', '--kubeconfig', '--help'],
    ],
    [
      ['inject', '--output', ''],
      ['yaml', 'json', 'diff'],
    ],
    [['inject', '--policy', 'file', '--e'], ['--explain']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [
      ['node', '--lxcfs', ''],
      ['auto', 'external', 'off'],
    ],
    [
      ['lxcfs', '--log-level', ''],
      ['debug', 'silent'],
    ],
    [
      ['kubectl', 'status', '-o', ''],
      ['wide', 'yaml'],
    ],
    [
      ['status', '--color', ''],
      ['always', 'never'],
    ],
  ])('completes %j', (words, expected) => {
    const flags = { bash: ['--norc'], zsh: ['-f'], fish: ['--no-config'] }[shell];
    // fish has no name of its own among its arguments.
    const args = shell === 'fish' ? [script] : [shell, script];
    const { stdout, stderr } = spawnSync(shell, [...flags, '-c', ask[shell](words), ...args], { encoding: 'utf8' });
    const offered = stdout.trim().split('\n');
    expect(stderr).toBe('');
    for (const word of expected) expect(offered, stdout).toContain(word);
  });

  it.skipIf(!isThere || shell !== 'bash').each([[['policy', 'check', '']], [['inject', '-f', '']], [['inject', '']]])(
    'leaves %j to files',
    (words) => {
      const args = ['--norc', '-c', ask.bash(words), 'bash', script];
      expect(spawnSync('bash', args, { encoding: 'utf8' }).stdout.trim()).toBe('');
    },
  );

  it.skipIf(!isThere || shell !== 'bash')('completes the value after =', () => {
    const args = ['--norc', '-c', ask.bash(['inject', '--output', '=', 'y']), 'bash', script];
    expect(spawnSync('bash', args, { encoding: 'utf8' }).stdout.trim()).toBe('yaml');
  });
});
