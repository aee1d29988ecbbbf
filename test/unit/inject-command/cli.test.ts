import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import packageJson from '../../../package.json' with { type: 'json' };

const COMMANDS = ['webhook', 'inject', 'node', 'lxcfs', 'status', 'monitor', 'policy', 'kubectl', 'completion', 'demo'];
const MISSING = '/nowhere/missing.yaml';
const CLI = join(import.meta.dirname, '../../../src/cli.ts');
const EXAMPLES = join(import.meta.dirname, '../../../examples');
const EXAMPLE = join(EXAMPLES, 'cronjob.yaml');
const hotmount = (args: readonly string[], input = ''): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [CLI, ...args], { input, encoding: 'utf8' });

describe('hotmount', { timeout: 60_000 }, () => {
  it('lists its commands with --help, on stdout', () => {
    const { status, stdout, stderr } = hotmount(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const command of COMMANDS) expect(stdout).toContain(`\n  ${command} `);
  });

  it('folds the help of flags on narrow terminals', () => {
    const env = { ...process.env, COLUMNS: '60' };
    const { stdout } = spawnSync(process.execPath, [CLI, 'inject', '--help'], { env, encoding: 'utf8' });
    const options = stdout.slice(stdout.indexOf('Options:'), stdout.indexOf('Examples:')).split('\n');
    expect(options.length).toBeGreaterThan(20);
    for (const line of options) expect(line.length, line).toBeLessThanOrEqual(60);
  });

  it('tells its version', () => {
    expect(hotmount(['--version'])).toMatchObject({
      status: 0,
      stdout: `${packageJson.version}, run from sources, Node ${process.versions.node}\n`,
    });
  });

  it.each([
    ['help policy check', 'hotmount policy check'],
    ['policy help check', 'hotmount policy check'],
    ['help help', 'hotmount'],
    ['policy help', 'hotmount policy'],
    ['kubectl help eject', 'hotmount kubectl eject'],
  ])('%s is the help of %s', (words, name) => {
    const { status, stdout } = hotmount(words.split(' '));
    expect({ status, usage: stdout.split(' [')[0] }).toEqual({ status: 0, usage: `Usage: ${name}` });
  });

  it('says of kubectl hotmount, too, that there is no such command', () => {
    const plugin = CLI.replace(/cli\.ts$/, 'kubectl-hotmount.ts');
    const { status, stderr } = spawnSync(process.execPath, [plugin, 'help', 'nope'], { encoding: 'utf8' });
    expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.stringContaining("unknown command 'nope'") });
  });

  it('takes the flags of kubectl before the command, too', () => {
    const args = ['kubectl', '--kubeconfig', MISSING, '-n', 'shop', 'status'];
    expect(hotmount(args)).toMatchObject({ status: 2, stderr: expect.stringContaining(`${MISSING}: cannot be read`) });
  });

  it.each(COMMANDS)('describes %s as in the list', (command) => {
    const { status, stdout } = hotmount(['help', command]);
    expect(status).toBe(0);
    const described = stdout.split('\n\n')[1]?.replaceAll(/\s+/g, ' ');
    expect(hotmount(['--help']).stdout.replaceAll(/\s+/g, ' ')).toContain(` ${command} ${described}`);
  });

  it.each([
    [[], 'Usage: hotmount'],
    [['bogus'], "unknown command 'bogus' (--help lists those there are)"],
    [['policy', 'bogus'], "unknown command 'bogus' (--help lists those there are)"],
    [['status', '-o', 'xml'], 'Allowed choices are table, json'],
    [['monitor', '-o', 'xml'], 'Allowed choices are text, json'],
    [['kubectl', 'status', '-o', 'xml'], 'Allowed choices are table, wide, json, yaml'],
    [['node', '--log-level', 'loud'], 'Allowed choices are debug, info'],
    [['node', '--lxcfs', 'on'], 'Allowed choices are auto, external, off'],
    [['kubectl', 'eject', 'sdb', '--kubeconfig', MISSING], 'sdb: expected NODE/DISK'],
    [['kubectl', 'explain', 'foo/x', '--kubeconfig', MISSING], 'foo/x: expected POD'],
    [
      ['kubectl', 'status', '--kubeconfig', MISSING],
      `error: ${MISSING}: cannot be read: no such file or directory (ENOENT)`,
    ],
    [['injcet'], 'Did you mean inject?'],
    [['--bogus'], "unknown option '--bogus'"],
    [['inject', '--bogus'], "unknown option '--bogus'"],
    [['inject', '-o', 'xml'], 'Allowed choices are yaml, json, diff'],
    [['inject', '--namespace-labels', 'a'], 'Expected key=value pairs'],
    [['inject', '--namespace-labels', 'a b=c'], 'cannot be a label of a namespace'],
    [['inject', '-n', 'BAD NS'], 'Expected the name of a namespace'],
    [['inject', '-n', ''], 'Expected the name of a namespace'],
    [['policy', 'check', 'a', 'b'], 'too many arguments'],
    [['policy', 'check', '--bogus'], "unknown option '--bogus'"],
    [['policy', 'chekc'], 'Did you mean check?'],
    [['policy'], 'Usage: hotmount policy'],
    [['help', 'nope'], "unknown command 'nope'"],
    [['nope', '--help'], "unknown command 'nope'"],
    [['policy', 'help', 'nope'], "unknown command 'nope'"],
    [['help', 'policy', 'nope'], "unknown command 'nope'"],
    [['policy', 'nope', '-h'], "unknown command 'nope'"],
    [['kubectl', 'help', 'explian'], 'Did you mean explain?'],
  ])('exits with 2 for %j, saying why on stderr', (args, message) => {
    const { status, stdout, stderr } = hotmount(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(message);
  });

  it.each([
    [['inject', '-f', MISSING]],
    [['inject', '--policy', MISSING]],
    [['policy', 'check', MISSING]],
    [['webhook', '--tls-self-signed', '--policy', MISSING]],
    [['monitor', '--policy', MISSING]],
  ])('says of a file that is not there the same in %j', (args) => {
    const { status, stderr } = hotmount(args);
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: `${MISSING}: cannot be read: no such file or directory (ENOENT)\n`,
    });
  });

  it.each([[['inject']], [['policy', 'check']], [['webhook', '--tls-self-signed']], [['monitor']]])(
    'points at what is wrong with a policy in %j',
    (args) => {
      const directory = mkdtempSync(join(tmpdir(), 'hotmount-cli-'));
      const file = join(directory, 'policy.yaml');
      writeFileSync(file, 'apiVersion: hotmount.io/v1alpha1\nkind: Polcy\n');
      const { status, stderr } = hotmount([...args, ...(args[0] === 'policy' ? [] : ['--policy']), file]);
      rmSync(directory, { recursive: true });
      expect({ status, lines: stderr.split('\n') }).toEqual({
        status: 2,
        lines: [
          `${file}:2:7: kind: expected Policy, found "Polcy"; did you mean "Policy"?`,
          '  2 | kind: Polcy',
          '    |       ^',
          '',
        ],
      });
    },
  );

  it.each([
    [['--help']],
    [['--version']],
    [['help', 'node']],
    [['inject', EXAMPLE]],
    [['inject', '-o', 'json', EXAMPLE]],
    [['inject', '-o', 'diff', EXAMPLE]],
    [['policy', 'check']],
    [['policy', 'check', '--help']],
    [['demo', '--no-node']],
  ])('says that a full disk takes no output of %j, and exits with 3', (args) => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [CLI, ...args], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect({ status, stderr }).toEqual({
      status: 3,
      stderr: expect.stringMatching(
        /^(?:.*: (?:warning|note): .*\n)*error: the output cannot be written: no space left on device \(ENOSPC\)\n$/,
      ),
    });
  });

  it('does its work where nobody can be told of it', () => {
    const full = openSync('/dev/full', 'w');
    const denied = join(EXAMPLES, 'denied.yaml');
    const { status, stdout } = spawnSync(process.execPath, [CLI, 'inject', denied], {
      stdio: ['ignore', 'pipe', full],
      encoding: 'utf8',
    });
    closeSync(full);
    expect({ status, stdout }).toEqual({ status: 1, stdout: readFileSync(denied, 'utf8') });
  });

  it('says of a node without a daemon that there is none', () => {
    const { status, stderr } = hotmount(['status', '--run-dir', '/nowhere/run']);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(
        /^error: no hotmount node is running on .* get pods.*--run-dir.*kubectl hotmount status/,
      ),
    });
  });

  describe('of a kubeconfig', () => {
    const withKubeconfig = (text: string) => {
      const directory = mkdtempSync(join(tmpdir(), 'hotmount-cli-'));
      const file = join(directory, 'config');
      writeFileSync(file, text);
      const { status, stderr } = hotmount(['kubectl', 'status', '--kubeconfig', file]);
      rmSync(directory, { recursive: true });
      return { status, stderr: stderr.replace(file, 'FILE') };
    };

    it('names the server that cannot be reached, and the context', () => {
      const server = 'https://127.0.0.1:1';
      const config = {
        'current-context': 'lab',
        clusters: [{ name: 'c', cluster: { server } }],
        users: [{ name: 'u', user: {} }],
        contexts: [{ name: 'lab', context: { cluster: 'c', user: 'u' } }],
      };
      expect(withKubeconfig(JSON.stringify(config))).toEqual({
        status: 1,
        stderr: expect.stringMatching(
          /^error: the API server https:\/\/127\.0\.0\.1:1 of the context lab cannot be reached\. .*kubectl config get-contexts.*ECONNREFUSED/,
        ),
      });
    });

    it('names the file that is no YAML, and shows nothing of it', () => {
      const { status, stderr } = withKubeconfig('users:\n  - name: u\n   token: secret\n');
      expect({ status, stderr }).toEqual({
        status: 2,
        stderr: expect.stringMatching(/^error: FILE: it is no kubeconfig/),
      });
      expect(stderr).not.toContain('secret');
    });
  });

  it('says beside its first example how to learn of what was not injected', () => {
    expect(hotmount(['inject', '--help']).stdout).toContain('set -o pipefail; hotmount inject');
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
