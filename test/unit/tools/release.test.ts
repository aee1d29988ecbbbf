import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import packageJson from '../../../package.json' with { type: 'json' };
import { ReleaseError, releasedFiles } from '../../../tools/release.ts';

const ROOT = join(import.meta.dirname, '../../..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const DATE = '2031-05-06';

describe('a release', () => {
  it('sets the version of the package, its lock and the chart, and dates the changes', () => {
    const files = releasedFiles('9.8.7', DATE, read);
    const json = (file: string) => JSON.parse(files.get(file) ?? '');
    expect(json('package.json')).toEqual({ ...packageJson, version: '9.8.7' });
    const lock = JSON.parse(read('package-lock.json'));
    lock.version = lock.packages[''].version = '9.8.7';
    expect(json('package-lock.json')).toEqual(lock);
    expect(files.get('charts/hotmount/Chart.yaml')?.match(/^(?:version|appVersion): .*$/gm)).toEqual([
      'version: 9.8.7',
      'appVersion: 9.8.7',
    ]);
    expect(files.get('CHANGELOG.md')).toContain(`\n## Unreleased\n\n## 9.8.7 - ${DATE}\n\n###`);
  });

  it('sets the version of the image in the documents', () => {
    const files = releasedFiles('9.8.7', DATE, read);
    const versions = (text = ''): string[] => text.match(/\bhotmount:\d[^\s`]*/g) ?? [];
    for (const file of globSync(['*.md', 'docs/*.md'], { cwd: ROOT })) {
      const count = versions(read(file)).length;
      expect(versions(files.get(file) ?? read(file)), file).toEqual(Array(count).fill('hotmount:9.8.7'));
    }
  });

  it.each([
    ['1.2', /expected a version such as/],
    ['v9.0.0', /expected a version such as/],
    ['0.0.1', /does not come after/],
    [packageJson.version, /does not come after/],
    [`${packageJson.version}-rc.1`, /does not come after/],
  ])('is refused as %s', (version, message) => {
    expect(() => releasedFiles(version, DATE, read)).toThrow(ReleaseError);
    expect(() => releasedFiles(version, DATE, read)).toThrow(message);
  });

  it('is refused without changes to tell', () => {
    const unchanged = (file: string) =>
      file === 'CHANGELOG.md' ? '# Changes\n\n## Unreleased\n\n## 0.1.0\n' : read(file);
    expect(() => releasedFiles('9.8.7', DATE, unchanged)).toThrow('nothing under "## Unreleased"');
  });

  it('can be tried: nothing is written', () => {
    const before = read('package.json');
    const { status, stdout, stderr } = spawnSync('npm', ['run', '-s', 'release', '--', '--dry-run'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^--- package\.json\n- {2}"version": ".*"/m);
    expect(stdout).toMatch(/\nwould be committed as "Release \d+\.\d+\.0", and tagged v\d+\.\d+\.0\n$/);
    expect(read('package.json')).toBe(before);
  });
});
