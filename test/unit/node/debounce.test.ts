import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Debounce } from '../../../src/node/reconcile/debounce.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('it is done after each delay, once for what came close together', () => {
  const at: number[] = [];
  const begin = Date.now();
  const debounce = new Debounce([300, 3000], () => at.push(Date.now() - begin));
  debounce.ask();
  vi.advanceTimersByTime(100_000);
  expect(at).toEqual([300, 3000]);
});

test('what is asked for all the time does not put it off', () => {
  let done = 0;
  const debounce = new Debounce([300], () => done++);
  for (let i = 0; i < 100; i++) {
    debounce.ask();
    vi.advanceTimersByTime(100);
  }
  expect(done).toBeGreaterThanOrEqual(33);
  vi.advanceTimersByTime(600);
  const settled = done;
  vi.advanceTimersByTime(100_000);
  expect(done).toBe(settled);
});

test('nothing is done any more once it is cleared', () => {
  const debounce = new Debounce([300, 3000], () => expect.fail('done'));
  debounce.ask();
  debounce.clear();
  vi.advanceTimersByTime(100_000);
});
