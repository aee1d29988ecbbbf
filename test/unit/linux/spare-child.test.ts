import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { SpareChild } from '../../../src/linux/spare-child.ts';

const DEADLINE = 20_000;
const openDescriptors = (): number => readdirSync('/proc/self/fd').length;
const waiting = (): number[] =>
  execFileSync('ps', ['-o', 'pid=,comm=', '--ppid', String(process.pid)], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.endsWith(' sh'))
    .map((line) => Number.parseInt(line, 10));

describe('a child that is started beforehand', () => {
  it('becomes the program that it is told, with each word as it is', async () => {
    const spare = new SpareChild({ cwd: '/proc' });
    spare.prepare();
    const words = ['a b', '$(echo no)', "'", '"', '\\', '', '-n', '*'];
    const printed = await spare.run('printf', ['%s|', ...words], DEADLINE);
    expect(printed).toMatchObject({ command: 'printf', code: 0, stdout: `${words.join('|')}|`, stderr: '' });
    spare.prepare();
    expect(await spare.run('pwd', [], DEADLINE)).toMatchObject({ code: 0, stdout: '/proc\n' });
  });

  it('is not needed: a new one runs the program where none waits, or it was killed, or a word has a newline', async () => {
    const spare = new SpareChild();
    const echo = (text: string): Promise<string> =>
      spare.run('printf', ['%s', text], DEADLINE).then(({ stdout }) => stdout);
    expect(await echo('none')).toBe('none');
    const before = openDescriptors();

    const others = waiting();
    spare.prepare();
    const [pid] = waiting().filter((id) => !others.includes(id));
    process.kill(pid as number, 'SIGKILL');
    await expect.poll(waiting, { timeout: DEADLINE }).toEqual(others);
    expect(await echo('killed')).toBe('killed');

    spare.prepare();
    expect(await echo('two\nlines')).toBe('two\nlines');
    await expect.poll(waiting, { timeout: DEADLINE }).toEqual(others);
    // Sockets are closed in a turn of their own.
    await sleep(0);
    expect(openDescriptors()).toBeLessThanOrEqual(before);
  });

  it('goes by a script of its own, with what it is told, in a new one too where none waits', async () => {
    const spare = new SpareChild({ perl: 'print join("|", @ARGV), "|"; exit 5' });
    const words = ['a b', '-n', '', '$x', ''];
    const printed = { command: 'count', code: 5, stdout: `${words.join('|')}|`, stderr: '' };
    spare.prepare();
    expect(await spare.run('count', words, DEADLINE)).toMatchObject(printed);
    expect(await spare.run('count', words, DEADLINE)).toMatchObject(printed);
  });

  it('tells of a program that is not there as the shell does', async () => {
    const spare = new SpareChild();
    spare.prepare();
    expect(await spare.run('hotmount-no-such-program', [], DEADLINE)).toMatchObject({ code: 127 });
    await expect(spare.run('hotmount-no-such-program', [], DEADLINE)).rejects.toThrow('ENOENT');
  });
});
