import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const documents = globSync(['*.md', '{docs,charts,certs,test}/**/*.md'], { cwd: ROOT });
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const withoutCode = (text: string): string =>
  text.replace(/^(```+)[\s\S]*?^\1$/gm, '').replace(/`[^`\n]*`\[?/g, (code) => (code.includes('](') ? '' : code));

/** The anchors of a document's headings, as GitHub makes them: lower case, without punctuation, with dashes for spaces. */
function anchorsOf(file: string): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const anchors = [...withoutCode(read(file)).matchAll(/^#+ +(.+?)\s*$/gm)].map(([, heading = '']) => {
    const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1');
    const slug = text
      .toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    return count === 0 ? slug : `${slug}-${count}`;
  });
  return new Set(anchors);
}

/** What is wrong with a link of a document; undefined: nothing. */
function problemOf(file: string, target: string): string | undefined {
  if (/^[a-z]+:/.test(target))
    return URL.canParse(target) && target.startsWith('https:') ? undefined : `${target}: no https address`;
  const [path = '', anchor] = target.split('#', 2);
  const linked = path === '' ? file : join(dirname(file), decodeURIComponent(path));
  if (!existsSync(join(ROOT, linked))) return `${target}: there is no ${linked}`;
  if (anchor !== undefined && !anchorsOf(linked).has(decodeURIComponent(anchor)))
    return `${target}: ${linked} has no such heading`;
  return undefined;
}

describe('the links of the documents', () => {
  it.each(documents)('%s leads to what is there', (file) => {
    const targets = [...withoutCode(read(file)).matchAll(/\]\(([^)\s]+)(?: "[^"]*")?\)/g)].map(
      ([, target = '']) => target,
    );
    expect(targets.flatMap((target) => problemOf(file, target) ?? [])).toEqual([]);
  });

  it('reach every page of docs/ from README.md', () => {
    const reached = new Set(['README.md']);
    for (const file of reached) {
      for (const [, target = ''] of read(file).matchAll(/\]\(([^)#\s]+\.md)/g)) {
        const linked = join(dirname(file), target);
        if (existsSync(join(ROOT, linked))) reached.add(linked);
      }
    }
    expect(documents.filter((file) => file.startsWith('docs/') && !reached.has(file))).toEqual([]);
  });
});

describe('the runbooks of alerts', () => {
  it('are headings of the documents', () => {
    const alerts = read('charts/hotmount/files/alerts.yaml');
    const runbooks = [...alerts.matchAll(/runbook: (docs\/[\w-]+\.md#[\w-]+)$/gm)].map(([, target = '']) => target);
    expect(runbooks).toHaveLength(alerts.match(/- alert: /g)?.length ?? 0);
    expect(runbooks.flatMap((target) => problemOf('README.md', target) ?? [])).toEqual([]);
  });
});
