import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import packageJson from '../../../package.json' with { type: 'json' };

const CLI = join(import.meta.dirname, '../../../src/cli.ts');
const hotmount = (args: readonly string[], input = ''): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [CLI, ...args], { input, encoding: 'utf8' });

describe('hotmount', { timeout: 60_000 }, () => {
  it('lists its commands with --help, on stdout', () => {
    const { status, stdout, stderr } = hotmount(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const command of ['webhook', 'inject', 'policy', 'demo']) expect(stdout).toContain(`\n  ${command} `);
  });

  it('tells its version', () => {
    expect(hotmount(['--version'])).toMatchObject({ status: 0, stdout: `${packageJson.version}\n` });
  });

  it.each(['webhook', 'inject', 'policy', 'demo'])('describes %s as in the list', (command) => {
    const { status, stdout } = hotmount(['help', command]);
    expect(status).toBe(0);
    const described = stdout.split('\n\n')[1]?.replaceAll(/\s+/g, ' ');
    expect(hotmount(['--help']).stdout.replaceAll(/\s+/g, ' ')).toContain(` ${command} ${described}`);
  });

  it.each([
    [[], 'Usage: hotmount'],
    [['bogus'], "unknown command 'bogus'"],
    [['injcet'], 'Did you mean inject?'],
    [['--bogus'], "unknown option '--bogus'"],
    [['inject', '--bogus'], "unknown option '--bogus'"],
    [['inject', '-o', 'xml'], 'Allowed choices are yaml, json, diff'],
    [['inject', '--namespace-labels', 'a'], 'Expected key=value pairs'],
    [['inject', '-f', 'missing.yaml'], 'missing.yaml: cannot be read: no such file or directory (ENOENT)\n'],
    [['inject', '--policy', 'missing.yaml'], 'missing.yaml: cannot be read: no such file or directory (ENOENT)\n'],
  ])('exits with 2 for %j, saying why on stderr', (args, message) => {
    const { status, stdout, stderr } = hotmount(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(message);
  });

  it('injects from stdin to stdout, several files and label lists', () => {
    const pod = 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a}]}\n';
    const { status, stdout } = hotmount(['inject', '-f', '-', '--namespace-labels', 'a=b,c=', '-n', 'x'], pod);
    expect({ status, stdout }).toEqual({ status: 0, stdout: pod });
  });

  it('is quiet when the reader has seen enough', async () => {
    const child = spawn(process.execPath, [CLI, 'inject', '-'], { stdio: ['pipe', 'pipe', 'pipe'] });
    const errors: Buffer[] = [];
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
    child.stdout.destroy();
    child.stdin.end('apiVersion: v1\nkind: Service\n---\n'.repeat(20_000));
    const [code] = await once(child, 'close');
    expect({ code, stderr: Buffer.concat(errors).toString() }).toEqual({ code: 0, stderr: '' });
  });
});
