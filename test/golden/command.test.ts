import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { answered, type Case, loadCases } from './case.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const PROCESSES = 2;

const all = loadCases();
const cases = all.filter(answered);
const errors = all.filter(({ error }) => error !== undefined);

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe('hotmount inject', () => {
  let compileCache: string;
  /** Each case in a process of its own; what the same policy and namespace decide then goes in again, all in one stream. */
  const runs = new Map<Case, Run>();
  const agains: { readonly given: string; readonly run: Run }[] = [];

  beforeAll(async () => {
    compileCache = await mkdtemp(join(tmpdir(), 'hotmount-golden-'));
    await inParallel([...cases, ...errors], async (golden) => {
      runs.set(golden, await inject(golden, golden.inputText));
    });
    const groups = Map.groupBy(cases, ({ policyFile, context }) => JSON.stringify([policyFile, context]));
    await inParallel([...groups.values()], async (group) => {
      const given = group.map((golden) => runs.get(golden)?.stdout ?? '').join('---\n');
      agains.push({ given, run: await inject(group[0] as Case, given) });
    });
  }, 240_000);

  afterAll(() => rm(compileCache, { recursive: true, force: true }));

  it.each(cases)('$name comes out as it says', (golden) => {
    const { code, stdout, stderr } = runs.get(golden) as Run;
    expect({ code, stderr }).toEqual({ code: golden.denials.length > 0 ? 1 : 0, stderr: expect.any(String) });
    if (golden.output === golden.input) expect(stdout, 'byte for byte').toBe(golden.inputText);
    else expect(parse(stdout)).toEqual(golden.output);

    const count = (severity: string) => stderr.split('\n').filter((line) => line.includes(`: ${severity}: `)).length;
    expect(count('warning')).toBe(golden.warnings.length);
    expect(count('denied')).toBe(golden.denials.length);
    for (const message of golden.messages) expect(stderr).toContain(message);
  });

  it.each(errors)('$name is an error', (golden) => {
    const { code, stdout, stderr } = runs.get(golden) as Run;
    const isUnknown = golden.context.namespaceLabels === undefined;
    expect({ code, stdout }).toEqual({ code: isUnknown ? 1 : 2, stdout: golden.inputText });
    expect(stderr).toContain(golden.error);
  });

  it('changes nothing the second time', () => {
    expect(agains.length).toBeGreaterThan(1);
    for (const { given, run } of agains) expect(run.stdout, 'byte for byte').toBe(given);
  });

  async function inject({ policyFile, context }: Case, stdin: string): Promise<Run> {
    const labels = context.namespaceLabels && Object.entries(context.namespaceLabels).map((pair) => pair.join('='));
    // Explained, as Pod Security is otherwise told once a namespace, and where a level is known to be enforced.
    const args = ['inject', '--explain', '--policy', policyFile, '--namespace', context.namespace];
    if (context.volumes) args.push('--volumes', context.volumes);
    if (labels) args.push('--namespace-labels', labels.join(','));
    // Loading the modules is most of what such a process does.
    const env = { ...process.env, NODE_COMPILE_CACHE: compileCache, NO_COLOR: '1' };
    const child = spawn(process.execPath, [CLI, ...args], { env });
    child.stdin.end(stdin);
    const exited = new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
    const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
    return { code, stdout, stderr };
  }
});

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: PROCESSES }, worker));
}
