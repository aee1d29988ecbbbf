import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Retry } from '../../../../src/node/reconcile/retry.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('tries ever more rarely, until all is well', () => {
  const at: number[] = [];
  const start = Date.now();
  const retry: Retry = new Retry(
    () => {
      at.push(Date.now() - start);
      retry.set(at.length < 6);
    },
    { first: 10, last: 40 },
  );
  retry.set(true);
  vi.advanceTimersByTime(1000);
  expect(at).toEqual([10, 30, 70, 110, 150, 190]);
  retry.set(true);
  vi.advanceTimersByTime(10);
  expect(at.at(-1), 'it begins anew').toBe(1010);
});

it('is not put off by what happens meanwhile, and can be called off', () => {
  const action = vi.fn();
  const retry = new Retry(action, { first: 10, last: 40 });
  for (let i = 0; i < 5; i++) {
    retry.set(true);
    vi.advanceTimersByTime(2);
  }
  expect(action).toHaveBeenCalledTimes(1);
  retry.set(true);
  retry.set(false);
  vi.advanceTimersByTime(1000);
  expect(action).toHaveBeenCalledTimes(1);
});
