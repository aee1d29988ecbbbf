import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Attempts } from '../../../src/node/reconcile/attempts.ts';
import type { Logger } from '../../../src/observability/logger.ts';

let lines: string[];
let attempts: Attempts;
beforeEach(() => {
  vi.useFakeTimers();
  lines = [];
  const log = { error: (_: object, line: string) => lines.push(line), info: (line: string) => lines.push(line) };
  attempts = new Attempts(log as unknown as Logger);
});
afterEach(() => {
  attempts.close();
  vi.useRealTimers();
});

test('what throws is told once, tried again ever more rarely, and told when it has succeeded', () => {
  let tries = 0;
  attempts.run('the class directories', () => {
    tries++;
    if (tries < 5) throw new Error('ENOSPC: no space left on device');
  });
  expect(attempts.problems).toEqual(['the class directories: ENOSPC: no space left on device']);
  for (const [delay, expected] of [
    [1000, 2],
    [1999, 2],
    [1, 3],
    [4000, 4],
    [8000, 5],
    [1_000_000, 5],
  ] as const) {
    vi.advanceTimersByTime(delay);
    expect(tries).toBe(expected);
  }
  expect(attempts.problems).toEqual([]);
  expect(lines).toEqual([
    'the class directories: ENOSPC: no space left on device; it is tried again, within a minute',
    'the class directories: it has succeeded now',
  ]);
});

test('a later call takes the place of what was to be tried again', () => {
  const done: string[] = [];
  attempts.run('classes', () => {
    throw new Error('EMFILE');
  });
  attempts.run('classes', () => void done.push('the new ones'));
  vi.advanceTimersByTime(100_000);
  expect(done).toEqual(['the new ones']);
  expect(attempts.problems).toEqual([]);
});

test('what was read of an event is lost with it: another action is tried in its place', () => {
  const done: string[] = [];
  attempts.run(
    'events',
    () => {
      throw new Error('EMFILE');
    },
    () => void done.push('resync'),
  );
  vi.advanceTimersByTime(1000);
  expect(done).toEqual(['resync']);
  expect(attempts.problems).toEqual([]);
});
