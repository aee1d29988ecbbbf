import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeUnless } from '../describe-unless.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Of Debian's packages wamerican and wbritish: the documents are British, and Kubernetes' words are American. */
const DICTIONARIES = ['/usr/share/dict/american-english', '/usr/share/dict/british-english'];
/** One a line: terms that no dictionary has. */
const OWN = join(import.meta.dirname, 'words.txt');
const documents = globSync(['*.md', '{docs,charts,certs,examples,test}/**/*.md'], { cwd: ROOT }).filter(
  (file) => !file.includes('.zh-CN.'),
);

/** The prose: without code, addresses, and names of files. */
function proseOf(markdown: string): string {
  return markdown
    .replace(/^(```+)[\s\S]*?^\1$/gm, ' ')
    .replace(/^ {4}.*$/gm, ' ')
    .replace(/<!-- reasons[\s\S]*?\/reasons -->/g, ' ')
    .replace(/`[^`]*`/g, ' ')
    .replace(/\]\([^)]*\)/g, ']')
    .replace(/https?:\/\/\S+/g, ' ')
    .replace(/\S*[/_.@]\w\S*/g, ' ');
}

/** What documents write as code is spelt by whoever made it. */
const namesIn = (markdown: string): string[] =>
  (markdown.match(/^(```+)[\s\S]*?^\1$|`[^`\n]*`|^ {4}.*$/gm) ?? []).flatMap((code) => code.match(/\p{L}+/gu) ?? []);

/** Words of lower case, or with a capital at the beginning: what is written otherwise is a name. */
const wordsOf = (text: string): string[] =>
  text.match(/(?<![\p{L}\p{N}’'-])\p{Lu}?\p{Ll}+(?:[’']\p{Ll}+)?(?![\p{L}\p{N}])/gu) ?? [];

const missing = DICTIONARIES.filter((file) => !existsSync(file));
describeUnless(missing.length > 0 ? `there is no ${missing.join(', ')}` : undefined, 'the documents', () => {
  const lines = (file: string): string[] =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line && !line.startsWith('#'));
  const names = documents.flatMap((file) => namesIn(readFileSync(join(ROOT, file), 'utf8')));
  const dictionaries = missing.length > 0 ? [] : DICTIONARIES.flatMap(lines);
  const known = new Set([...dictionaries, ...names, ...lines(OWN)].map((word) => word.toLowerCase()));
  const isKnown = (word: string): boolean => {
    const lower = word.toLowerCase().replace('’', "'");
    return [lower, lower.replace(/'s$/, ''), lower.replace(/s$/, '')].some((form) => known.has(form));
  };

  it.each(documents)('%s is spelt as dictionaries, or words.txt, have it', (file) => {
    const words = wordsOf(proseOf(readFileSync(join(ROOT, file), 'utf8')));
    expect([...new Set(words.filter((word) => !isKnown(word)))]).toEqual([]);
  });
});
