import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyedQueue } from '../../../../src/node/reconcile/keyed-queue.ts';

describe('KeyedQueue', () => {
  it('never runs one key twice at a time, and always once more after the last request', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(fc.nat(3), { maxLength: 30 }), async (scheduler, keys) => {
        const running = new Set<number>();
        const state = new Map<number, number>();
        const seen = new Map<number, number>();
        const jobs = new KeyedQueue<number>(async (key) => {
          expect(running.has(key)).toBe(false);
          running.add(key);
          seen.set(key, state.get(key) ?? 0);
          await scheduler.schedule(Promise.resolve());
          running.delete(key);
        });
        for (const key of keys) {
          state.set(key, (state.get(key) ?? 0) + 1);
          jobs.request(key);
          await setImmediate();
          if (scheduler.count() > 2) await scheduler.waitOne();
        }
        await scheduler.waitIdle();
        await jobs.idle();
        expect(seen).toEqual(state);
      }),
    );
  });
});
