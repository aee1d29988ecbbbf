import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { takeColor } from '../../../src/commands/color.ts';
import { helpOf, loadCommands, manPage } from '../../../tools/man.ts';

const commands = await loadCommands();
const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
const everyCommand = commands.flatMap(all).map((command) => [fullName(command), command] as const);

function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}

describe('the help of every command', () => {
  it.each(everyCommand)('%s: fits 80 columns', (_name, command) => {
    for (const line of helpOf(command).split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
  });

  it.each(everyCommand)('%s: has examples and exit codes', (_name, command) => {
    const help = helpOf(command);
    expect(help).toMatch(/^Examples?:\n {2}/m);
    expect(help).toMatch(/^Exit codes:/m);
    expect(help).toMatch(/\b2\b/);
  });
});

describe('--color', () => {
  it.each([
    [['status'], 'auto', ['status']],
    [['--color', 'status'], 'always', ['status']],
    [['inject', '--color', 'file.yaml'], 'always', ['inject', 'file.yaml']],
    [['--color', 'always', 'status'], 'always', ['status']],
    [['inject', '--color', 'never', 'file.yaml'], 'never', ['inject', 'file.yaml']],
    [['status', '--color=never'], 'never', ['status']],
    [['status', '--no-color'], 'never', ['status']],
    [['inject', '--', '--color=x'], 'auto', ['inject', '--', '--color=x']],
  ] as const)('of %j is %s', (args, mode, rest) => {
    expect(takeColor(args)).toEqual({ mode, rest });
  });

  it('says what it may be', () => {
    expect(takeColor(['--color=sometimes'])).toEqual({ problem: '--color=sometimes: expected auto, always, never' });
  });
});

describe('the man page', () => {
  it('has the help of every command, and is what troff reads', async () => {
    const page = manPage(await loadCommands());
    for (const [name] of everyCommand) expect(page).toContain(`.SS hotmount ${name}`.replaceAll('-', '\\-'));
    expect(page).toContain('Exit codes:');
    const requests = page.split('\n').filter((line) => /^[.']/.test(line));
    expect(requests.filter((line) => !/^\.(?:TH|SH|SS|nf|fi)\b/.test(line))).toEqual([]);
  });
});
