import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ReconcileLoop } from '../../../src/kubernetes/certificates/reconcile-loop.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a reconcile loop', () => {
  it.each([
    ['as it ends', 0],
    ['while it goes on', 20],
  ])('runs again for what happens %s', async (_, goesOnFor) => {
    let count = 0;
    const loop = new ReconcileLoop(async () => {
      if (++count > 1) return 30_000;
      loop.trigger();
      await vi.advanceTimersByTimeAsync(goesOnFor);
      return 30_000;
    });
    loop.trigger();
    await vi.advanceTimersByTimeAsync(100);
    expect(count).toBe(2);
    await vi.advanceTimersByTimeAsync(29_000);
    expect(count).toBe(2);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(count).toBe(3);
  });

  it('never runs twice at once, and once for all that happened meanwhile', async () => {
    const ends: Array<() => void> = [];
    const loop = new ReconcileLoop(async () => {
      await new Promise<void>((resolve) => ends.push(resolve));
      return 1_000;
    });
    for (let i = 0; i < 5; i++) {
      loop.trigger();
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(ends).toHaveLength(1);
    ends[0]?.();
    await vi.advanceTimersByTimeAsync(10);
    expect(ends).toHaveLength(2);
    ends[1]?.();
    await vi.advanceTimersByTimeAsync(500);
    expect(ends).toHaveLength(2);
  });

  it('is not taken any more once it is closed', async () => {
    let count = 0;
    const loop = new ReconcileLoop(async () => {
      count++;
      loop.close();
      return 10;
    });
    loop.trigger();
    await vi.advanceTimersByTimeAsync(100);
    loop.trigger();
    await vi.advanceTimersByTimeAsync(100);
    expect(count).toBe(1);
  });
});
