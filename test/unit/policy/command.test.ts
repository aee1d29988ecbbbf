import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const CLI = join(import.meta.dirname, '../../../src/cli.ts');
const directory = mkdtempSync(join(tmpdir(), 'hotmount-policy-command-'));
afterAll(() => rmSync(directory, { recursive: true }));

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const check = (args: readonly string[], stdin = ''): Promise<Result> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [CLI, 'policy', 'check', ...args], (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
    child.stdin?.end(stdin);
  });

const VALID = `apiVersion: hotmount.io/v1alpha1
kind: Policy
rules:
  - name: edge
    namespaces: ["edge-*"]
    serviceAccounts: [copier]
    allow: { lxcfs: true, capabilities: [CAP_NET_RAW] }
    defaults: { lxcfs: "true" }
`;

describe('hotmount policy check', { timeout: 30_000 }, () => {
  it('says what a valid policy amounts to, on standard error alone', async () => {
    const { code, stdout, stderr } = await check(['-'], VALID);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('stdin is valid');
    expect(stdout).toMatch(
      /rule edge .*namespaces edge-\*; service accounts copier \| allows capabilities NET_RAW; lxcfs/,
    );
    expect(stdout).toContain('defaults lxcfs="true" (in namespaces labelled hotmount.io/defaults=enabled alone)');
    expect(stdout).not.toContain('warning');
  });

  it('says of a line indented wrongly what is wrong, once', async () => {
    const { code, stderr } = await check(['-'], VALID.replace('    namespaces', '     namespaces'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/^stdin:4:11: is not YAML: .*indented/);
    expect(stderr.match(/^stdin:/gm)).toHaveLength(1);
    const less = await check(['-'], VALID.replace('    namespaces', '   namespaces'));
    expect(less.stderr).toMatch(/^stdin:5:\d+: is not YAML: .*indented/);
    expect(less.stderr.match(/^stdin:/gm)).toHaveLength(1);
  });

  it('shows what a terminal would obey as what it is', async () => {
    const policy = VALID.replace('edge-*', 'edge\\ec\\u202e').replace('[copier]', '["copier\\u009b2J"]');
    const { code, stdout } = await check(['-'], policy);
    expect(code, stdout).toBe(0);
    expect(stdout).toMatch(/namespaces edge.+; service accounts copier.+ \| allows/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it is about
    expect(stdout).not.toMatch(/[\x1b\x9b\u202e]/);
  });

  it('without a file looks at the built-in policy', async () => {
    const { code, stdout } = await check([]);
    expect(code).toBe(0);
    expect(stdout).toContain('the built-in policy is valid');
    expect(stdout).not.toContain('warning');
    expect(stdout).toMatch(/rule everyone +namespaces \* \| allows lxcfs\n/);
  });

  it('warns of what is valid and hardly meant', async () => {
    const { code, stdout } = await check(
      ['-'],
      VALID.replace('edge-*', '*').replace(/serviceAccounts.*\n {4}allow: { lxcfs/, 'allow: { privileged: true, lxcfs'),
    );
    expect(code).toBe(0);
    expect(stdout).toContain('warning: rule "edge": it allows privileged');
  });

  it('shows every error with its line and a caret under the column, and ends with 2', async () => {
    const path = join(directory, 'policy.yaml');
    writeFileSync(path, VALID.replace('lxcfs: true', 'lxcfs: yes').replace('rules', 'rulez: 1\nrules'));
    const { code, stdout, stderr } = await check([path]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.split('\n')).toEqual([
      `${path}:3:1: rulez: there is no such key; did you mean "rules"?`,
      '  3 | rulez: 1',
      '    | ^',
      '',
      `${path}:8:21: rules[0].allow.lxcfs: expected true or false, found "yes"`,
      '  8 |     allow: { lxcfs: yes, capabilities: [CAP_NET_RAW] }',
      '    |                     ^',
      '',
    ]);
  });

  it('shows a part of a long line, and nothing that a terminal would obey', async () => {
    const long = `apiVersion: hotmount.io/v1alpha1\nkind: Policy\nlxcfs: {\t${' '.repeat(200)}foo: "\u001b[31m", views: [cpu]${' '.repeat(200)}}\n`;
    const { code, stderr } = await check(['-'], long);
    expect(code).toBe(2);
    expect(stderr).not.toContain('\u001b');
    const [, shown, caret] = stderr.split('\n');
    expect(shown?.slice(caret?.indexOf('^')).startsWith('foo: ')).toBe(true);
    expect(shown?.length).toBeLessThan(140);
  });

  it('tells of a file that cannot be read', async () => {
    const { code, stderr } = await check([join(directory, 'none')]);
    expect(code).toBe(2);
    expect(stderr).toBe(`${join(directory, 'none')}: cannot be read: no such file or directory (ENOENT)\n`);
  });

  it('takes the manifest of a ConfigMap', async () => {
    const manifest = `kind: ConfigMap\ndata:\n  policy.yaml: |\n${VALID.replace('edge-*', '[').replace(/^/gm, '    ')}`;
    const { code, stderr } = await check(['-'], manifest);
    expect(code).toBe(2);
    expect(stderr).toContain('stdin:8:22: rules[0].namespaces[0]:');
    expect(stderr).toContain('\n  8 |         namespaces: ["["]\n    |                      ^\n');
  });

  it('explains itself, with an example', async () => {
    const { code, stdout } = await check(['--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('$ hotmount policy check policy.yaml');
  });
});
