import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Holder } from '../../../../src/linux/holders.ts';
import { findHolders, HeldReports } from '../../../../src/node/containers/held-reports.ts';

const HOLDER: Holder = { pid: process.pid, command: 'tail', path: '/media/a', how: 'open' };
const OTHER: Holder = { ...HOLDER, path: '/media/b' };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('who holds what was taken away is asked until it is known, and until nobody does', async () => {
  const answers = [new Error('EMFILE'), new Error('ENOMEM'), [HOLDER, OTHER], new Error('EMFILE'), [HOLDER], []];
  const asked: (number | undefined)[] = [];
  const ask = async (pids?: readonly number[]) => {
    asked.push(pids?.length);
    const answer = answers.shift();
    if (!Array.isArray(answer)) throw answer;
    return answer;
  };
  const released = vi.fn();
  const reports = new HeldReports<Awaited<ReturnType<typeof findHolders>>>(released);
  reports.add(await findHolders(ask), ask);
  const seen = [reports.all[0]];
  while (answers.length > 0) {
    expect(released).not.toHaveBeenCalled();
    await vi.advanceTimersToNextTimerAsync();
    seen.push(reports.all[0]);
  }
  expect(seen.map((report) => report?.holdersProblem ?? report?.holders.map(({ path }) => path))).toEqual([
    'EMFILE',
    'EMFILE',
    ['/media/a', '/media/b'],
    ['/media/a', '/media/b'],
    ['/media/a'],
    [],
  ]);
  // Until it is known, all that could are asked.
  expect(asked).toEqual([undefined, undefined, undefined, 2, 2, 1]);
  expect(released).toHaveBeenCalledOnce();
  expect(vi.getTimerCount()).toBe(0);
});
