import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, it, vi } from 'vitest';
import { watchFiles } from '../../../src/files/index.ts';

/** As the kernel says it where a node has no inotify watches left. */
vi.mock('node:fs', async (load) => ({
  ...(await load<typeof import('node:fs')>()),
  watch() {
    throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'watch' });
  },
}));

const directory = mkdtempSync(join(tmpdir(), 'hotmount-files-'));
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('files that cannot be watched are looked at now and then, and a fault is told once', () => {
  const paths = ['a', 'b'].map((name) => join(directory, name));
  const [a = '', b = ''] = paths;
  writeFileSync(a, '1');
  writeFileSync(b, '2');
  const said: string[] = [];
  const parse = (texts: readonly string[]) => {
    if (texts.includes('broken')) throw new Error('broken');
    return texts.join('');
  };
  const files = watchFiles(paths, parse, {
    onChange: (value) => said.push(value),
    onError: (error) => said.push((error as Error).message),
    onUnwatched: (problem) => said.push(problem),
  });
  const later = () => {
    vi.advanceTimersByTime(60_000);
    return said.splice(0);
  };
  expect(files.current()).toBe('12');
  expect(later()).toEqual([
    `${a}, ${b} cannot be watched: the node has no inotify watches left (ENOSPC); raise fs.inotify.max_user_watches (looked at every 30 s instead)`,
  ]);
  writeFileSync(b, '3');
  expect(later()).toEqual(['13']);
  writeFileSync(b, 'broken');
  expect(later()).toEqual(['broken']);
  unlinkSync(b);
  expect(later()).toEqual([`${b}: cannot be read: no such file or directory (ENOENT)`]);
  expect(later()).toEqual([]);
  expect(files.current()).toBe('13');
  writeFileSync(b, '3');
  expect(later()).toEqual(['13']);
  files.close();
  writeFileSync(b, '4');
  expect(later()).toEqual([]);
});
