#!/usr/bin/env node
/** `npm run release -- VERSION [--dry-run]`: sets the version everywhere, commits, and tags the commit. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { structuredPatch } from 'diff';

const ROOT = join(import.meta.dirname, '..');
/** They name the image with its tag. */
const DOCUMENTS = ['README.md', 'README.zh-CN.md', 'docs/install.md', 'docs/install.zh-CN.md'];

/** The release cannot be made; the message says what to do. */
export class ReleaseError extends Error {
  override name = 'ReleaseError';
}

/**
 * The files that change, with their new texts.
 * @param date of the release, as in 2026-11-29
 * @param read the text of a file of the repository
 * @throws ReleaseError
 */
export function releasedFiles(version: string, date: string, read: (file: string) => string): Map<string, string> {
  const { version: before } = JSON.parse(read('package.json')) as { version: string };
  if (!/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version)) {
    throw new ReleaseError(`${version}: expected a version such as ${next(before)}`);
  }
  if (!isLater(version, before)) throw new ReleaseError(`${version} does not come after ${before}`);
  const replaced = (file: string, pattern: RegExp, to: string) => {
    const [text, count] = replaceAll(read(file), pattern, to);
    if (count === 0) throw new ReleaseError(`${file}: the version is not where it is looked for (${pattern})`);
    return [file, text] as const;
  };
  const own = /(?<="name": "hotmount",\s+"version": ")[^"]+/g;
  return new Map([
    replaced('package.json', own, version),
    replaced('package-lock.json', own, version),
    replaced('charts/hotmount/Chart.yaml', /(?<=^(?:version|appVersion): ).*$/gm, version),
    ...DOCUMENTS.map((file) => replaced(file, /(?<=\bhotmount:)\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?/g, version)),
    ['CHANGELOG.md', releasedChanges(read('CHANGELOG.md'), version, date)],
  ]);
}

/** What is unreleased becomes the version's. */
function releasedChanges(text: string, version: string, date: string): string {
  const [, head = '', changes = '', rest = ''] =
    /^([\s\S]*?\n## Unreleased\n)([\s\S]*?)(\n## [\s\S]*)?$/.exec(text) ?? [];
  if (changes.trim() === '') throw new ReleaseError('CHANGELOG.md: there is nothing under "## Unreleased"');
  return `${head}\n## ${version} - ${date}\n${changes}${rest}`;
}

function replaceAll(text: string, pattern: RegExp, to: string): [string, number] {
  let count = 0;
  const replaced = text.replace(pattern, () => {
    count += 1;
    return to;
  });
  return [replaced, count];
}

/** By Semantic Versioning, as far as releases go: a version with a suffix comes before the one without. */
function isLater(version: string, before: string): boolean {
  const [core = '', suffix] = version.split(/-(.*)/);
  const [coreBefore = '', suffixBefore] = before.split(/-(.*)/);
  const order = core.localeCompare(coreBefore, 'en', { numeric: true });
  if (order !== 0) return order > 0;
  if (suffixBefore === undefined) return false;
  return suffix === undefined || suffix.localeCompare(suffixBefore, 'en', { numeric: true }) > 0;
}

const next = (version: string): string =>
  version.replace(/^(\d+)\.(\d+)\..*$/, (_, major, minor) => `${major}.${Number(minor) + 1}.0`);

const git = (...args: string[]): string => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();

function release(version: string, isDryRun: boolean): void {
  const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
  const files = releasedFiles(version, new Date().toISOString().slice(0, 10), read);
  for (const [file, text] of files) {
    const { hunks } = structuredPatch(file, file, read(file), text, '', '', { context: 0 });
    for (const line of [`--- ${file}`, ...hunks.flatMap(({ lines }) => lines)]) process.stdout.write(`${line}\n`);
  }
  if (isDryRun) {
    process.stdout.write(`would be committed as "Release ${version}", and tagged v${version}\n`);
    return;
  }
  if (git('status', '--porcelain') !== '') throw new ReleaseError('there are changes that are not committed');
  if (git('tag', '--list', `v${version}`) !== '') throw new ReleaseError(`there is a tag v${version} already`);
  for (const [file, text] of files) writeFileSync(join(ROOT, file), text);
  git('commit', '--quiet', '--message', `Release ${version}`, '--', ...files.keys());
  git('tag', '--annotate', '--message', `hotmount ${version}`, `v${version}`);
  process.stdout.write(`committed and tagged: git push --follow-tags, then npm publish\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    const { values, positionals } = parseArgs({ options: { 'dry-run': { type: 'boolean' } }, allowPositionals: true });
    const { version: before } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    const isDryRun = values['dry-run'] ?? false;
    const version = positionals[0] ?? (isDryRun ? next(before) : undefined);
    if (version === undefined || positionals.length > 1) {
      throw new ReleaseError('usage: npm run release -- VERSION [--dry-run]');
    }
    release(version, isDryRun);
  } catch (error) {
    process.stderr.write(`release: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
