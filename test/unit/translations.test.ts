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

describe('a translation of README', () => {
  it.each(translations)('%s links to translated documents where there are any', (file) => {
    const language = file.slice('README.'.length);
    // What has been tested is said in the original alone.
    const links = [...read(file).matchAll(/\]\((docs\/[^)]+)\)/g)].map(([, link = '']) => link);
    const untranslated = links.filter((link) => {
      const [target = '', anchor] = link.split('#');
      return (
        target.endsWith('.md') && anchor !== 'compatibility' && existsSync(join(ROOT, target.replace(/md$/, language)))
      );
    });
    expect(untranslated).toEqual([]);
  });
});

const documents = globSync('docs/*.zh-CN.md', { cwd: ROOT });
const withoutComments = (line: string): string => line.replace(/ +# .*$/, '');
const indented = (text: string): string[] => (text.match(/^ {4}\S.*$/gm) ?? []).map(withoutComments);
const headings = (text: string): string[] => (text.match(/^#+(?= )/gm) ?? []).map((marks) => marks);
const code = (text: string): Set<string> => new Set(text.match(/`[^`\n]+`/g));

describe('the translations of documents', () => {
  it('are there', () =>
    expect(documents).toEqual(expect.arrayContaining(['docs/annotations.zh-CN.md', 'docs/install.zh-CN.md'])));

  it.each(documents)('%s has the commands, the annotations and the parts of the original', (file) => {
    // What is generated, and tables of what has been tested, are in the original alone.
    const original = read(file.replace('.zh-CN', ''))
      .split(/^(?=##+ (?:Compat|refused|invalid|conflict|warning|outcome))|(?<=<!-- \/reasons -->)/m)
      .filter((part) => !/^##+ (?:Compat|refused|invalid|conflict|warning|outcome)/.test(part))
      .join('');
    const text = read(file);
    expect(commands(text)).toEqual(commands(original));
    expect(indented(text)).toEqual(indented(original));
    expect(annotations(text)).toEqual(annotations(original));
    expect(headings(text)).toEqual(headings(original));
    const missing = [...code(original)].filter((one) => one.includes('hotmount.io/') && !text.includes(one));
    expect(missing).toEqual([]);
  });
});
