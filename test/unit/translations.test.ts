import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const translations = globSync('README.*.md', { cwd: ROOT });

const commands = (text: string): string[] =>
  [...text.matchAll(/^```[a-z]*\n([\s\S]*?)^```$/gm)].map(([, body = '']) => body);
const annotations = (text: string): string[] =>
  [...text.matchAll(/^\| `(hotmount\.io\/[^`]+)`/gm)].map(([, one = '']) => one);
const targets = (text: string): string[] =>
  [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = '']) => target);

describe('the translations of README', () => {
  it('are there', () => expect(translations).toContain('README.zh-CN.md'));

  it.each(translations)('%s has the commands, the annotations and the figures of README.md', (file) => {
    const [text, original] = [read(file), read('README.md')];
    expect(commands(text)).toEqual(commands(original));
    expect(annotations(text)).toEqual(annotations(original));
    const figures = (of: string): string[] => of.match(/[\d.]+ (?:ms|µs)/g) ?? [];
    expect(figures(text)).toEqual(figures(original));
  });

  it.each(translations)('%s links to what is there', (file) => {
    expect(targets(read(file)).filter((target) => !existsSync(join(ROOT, target)))).toEqual([]);
  });
});
