import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { REASONS } from '../../src/contract/reasons.ts';
import { GRANT_REASONS } from '../../src/linux/device-cgroup/reasons.ts';
import { DEVICE_REASONS, MEDIA_REASONS } from '../../src/node/reasons.ts';

const ROOT = join(import.meta.dirname, '../..');
const DOCS = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)].filter((file) =>
  file.endsWith('.md'),
);
/** With EXAMPLES_UPDATE=1 the documents are written anew from what is real. */
const UPDATE = process.env['EXAMPLES_UPDATE'] === '1';

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** `shown` is a piece of the document that occurs once. */
function expectInDocument(file: string, shown: string, real: string): void {
  const text = read(file);
  if (UPDATE)
    writeFileSync(
      join(ROOT, file),
      text.replace(shown, () => real),
    );
  else expect(shown, `stale: EXAMPLES_UPDATE=1 npm test -- --project unit examples-in-docs`).toBe(real);
}

/** What the documents show of commands that need neither a cluster nor root: a `console` block is `$ COMMAND` and its output. */
const BLOCK = /^```console\n\$ (npm run (?:-s hotmount -- (?:inject|policy) .*|-s demo))\n([\s\S]*?)^```$/gm;
/** Stands for any lines. */
const ELLIPSIS = '…\n';

/** As a terminal of somebody in the checkout would show it. */
function outputOf(command: string): string {
  const cli = `"${process.execPath}" src/cli.ts`;
  const typed = command.replace(/^npm run -s (hotmount -- )?/, `${cli} `);
  return spawnSync('sh', ['-c', `exec 2>&1; ${typed}`], { cwd: ROOT, encoding: 'utf8' }).stdout;
}

const messageOf = ({ sentence, remedy }: { sentence: string; remedy?: string }): string =>
  remedy === undefined ? sentence : `${sentence}: ${remedy}`;

const blocks = DOCS.flatMap((file) =>
  [...read(file).matchAll(BLOCK)].map(([block, command = '', shown = '']) => ({ file, block, command, shown })),
);

describe('the documents', () => {
  it('show commands', () => {
    expect(blocks.map(({ file }) => file)).toContain('docs/examples.md');
  });

  it.each(blocks)('$file: $command', ({ file, block, command, shown }) => {
    const real = outputOf(command);
    if (!shown.includes(ELLIPSIS)) {
      return expectInDocument(file, block, `\`\`\`console\n$ ${command}\n${real}\`\`\``);
    }
    let at = 0;
    const parts = shown.split(ELLIPSIS);
    for (const [i, part] of parts.entries()) {
      const found = i === 0 ? 0 : i === parts.length - 1 ? real.length - part.length : real.indexOf(part, at);
      expect(found, `not in the output, or not in this order:\n${part}`).toBeGreaterThanOrEqual(at);
      expect(real.slice(found, found + part.length)).toBe(part);
      at = found + part.length;
    }
  });

  it('list the reason codes', () => {
    const [shown = '', start = ''] =
      /(<!-- reasons: .*\n)[\s\S]*<!-- \/reasons -->/.exec(read('docs/annotations.md')) ?? [];
    expect(shown, 'the place of the list').not.toBe('');
    const entries: [string, { kind: string; sentence: string; remedy?: string }][] = Object.entries(REASONS);
    const byKind = Map.groupBy(entries, ([, { kind }]) => kind);
    const list = [...byKind].flatMap(([kind, of]) => [
      `\n### ${kind}\n\n`,
      ...of.map(([code, entry]) => `- \`${code}\`: ${messageOf(entry)}\n`),
    ]);
    expectInDocument('docs/annotations.md', shown, `${start}${list.join('')}\n<!-- /reasons -->`);
  });

  it('list why access to a device is refused', () => {
    const [shown = ''] = /<!-- grant reasons -->[\s\S]*<!-- \/grant reasons -->/.exec(read('docs/devices.md')) ?? [];
    expect(shown, 'the place of the list').not.toBe('');
    const list = Object.entries(GRANT_REASONS).map(([code, sentence]) => `- \`${code}\`: ${sentence}\n`);
    expectInDocument('docs/devices.md', shown, `<!-- grant reasons -->\n\n${list.join('')}\n<!-- /grant reasons -->`);
  });

  it('say what each reason is that a disk or device is not there for', () => {
    const text = ['node', 'devices', 'troubleshooting'].map((name) => read(`docs/${name}.md`)).join();
    const reasons = Object.keys({ ...MEDIA_REASONS, ...DEVICE_REASONS });
    expect(reasons.filter((reason) => !text.includes(`\`${reason}\``))).toEqual([]);
  });

  it.each(DOCS)('%s begins with its title', (file) => expect(read(file)).toMatch(/^# /));

  it.each(DOCS)('%s links to what is there', (file) => {
    const targets = [...read(file).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = '']) => target);
    const missing = targets.filter((target) => !existsSync(join(ROOT, dirname(file), target)));
    expect(missing).toEqual([]);
  });
});
