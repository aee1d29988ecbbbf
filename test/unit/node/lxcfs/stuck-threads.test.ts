import { describe, expect, it } from 'vitest';
import { StuckThreads, type Thread } from '../../../../src/node/lxcfs/stuck-threads.ts';

const waiting = (id: string, switches = '7,0'): Thread => ({ id, waitsIn: 'futex_wait_queue', switches });
const idle = (id: string): Thread => ({ id, waitsIn: undefined, switches: '' });

/** What is found at each look: at a time, with so many open requests and these threads. */
function found(...looks: [at: number, requests: number, ...threads: Thread[]][]): (string | undefined)[] {
  const stuck = new StuckThreads();
  return looks.map(([at, requests, ...threads]) => stuck.find(threads, requests, at));
}

describe('a thread of lxcfs', () => {
  it('is stuck where it has slept since the last look, and a request is open', () => {
    const look = [1, idle('1'), waiting('2')] as const;
    expect(found([0, ...look], [10_000, ...look])).toEqual([undefined, 'futex_wait_queue']);
  });

  it('is not where the looks are too close to one another', () => {
    const look = [1, waiting('2')] as const;
    expect(found([0, ...look], [500, ...look], [3999, ...look], [4000, ...look]).filter(Boolean)).toHaveLength(1);
  });

  it('is not where it has run in between, or another has its number', () => {
    expect(found([0, 1, waiting('2')], [10_000, 1, waiting('2', '8,0')])).toEqual([undefined, undefined]);
    expect(found([0, 1, waiting('2')], [10_000, 1], [20_000, 1, waiting('2')]).filter(Boolean)).toEqual([]);
    expect(found([0, 1, waiting('2')], [10_000, 1, idle('2')], [20_000, 1, waiting('2')]).filter(Boolean)).toEqual([]);
  });

  it('is not where it also sleeps when nobody asks: what it waits for is no answer', () => {
    const helper = waiting('3', '1,0');
    expect(found([0, 1, helper], [10_000, 0, helper], [20_000, 1, helper]).filter(Boolean)).toEqual([]);
    expect(found([0, 0, helper], [10_000, 1, helper, waiting('4')], [20_000, 1, helper, waiting('4')])).toEqual([
      undefined,
      undefined,
      'futex_wait_queue',
    ]);
  });
});
