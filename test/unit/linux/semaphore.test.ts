import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Semaphore } from '../../../src/linux/semaphore.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('Semaphore', () => {
  it('lets in no more than it has slots, and everyone in the end', async () => {
    const semaphore = new Semaphore(3, 60_000);
    let inside = 0;
    let most = 0;
    let served = 0;
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const release = await semaphore.acquire();
        most = Math.max(most, ++inside);
        await sleep(i % 3);
        inside--;
        served++;
        release();
        release();
      }),
    );
    expect(most).toBe(3);
    expect(served).toBe(50);
  });

  it('serves in the order in which it was asked', async () => {
    const semaphore = new Semaphore(1, 60_000);
    const order: number[] = [];
    await Promise.all(
      [1, 2, 3, 4].map(async (number) => {
        const release = await semaphore.acquire();
        order.push(number);
        release();
      }),
    );
    expect(order).toEqual([1, 2, 3, 4]);
  });

  it('frees the slot of one that is stuck after its patience, not before, and only once', async () => {
    vi.useFakeTimers();
    const semaphore = new Semaphore(1, 500);
    const releaseStuck = await semaphore.acquire();
    const entered: string[] = [];
    const second = semaphore.acquire().then((release) => {
      entered.push('second');
      return release;
    });
    void semaphore.acquire().then(() => entered.push('third'));
    await vi.advanceTimersByTimeAsync(499);
    expect(entered).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(entered).toEqual(['second']);
    // What was stuck comes back: its slot is another's by now.
    releaseStuck();
    await vi.advanceTimersByTimeAsync(1);
    expect(entered).toEqual(['second']);
    (await second)();
    await vi.advanceTimersByTimeAsync(0);
    expect(entered).toEqual(['second', 'third']);
  });
});
