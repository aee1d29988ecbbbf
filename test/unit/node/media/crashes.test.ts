import { expect, it } from 'vitest';
import { CrashLog } from '../../../../src/node/media/crashes.ts';

it('a FUSE program that dies again and again waits longer each time, up to five minutes', () => {
  let now = 0;
  const log = new CrashLog(() => now);
  const waits = Array.from({ length: 11 }, () => {
    log.died('sdb1', 100);
    const wait = log.of('sdb1')?.wait ?? 0;
    now += wait;
    expect(log.of('sdb1')).toBeUndefined();
    return wait / 1000;
  });
  expect(waits).toEqual([0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
});

it('one that served for a minute, and another medium, begin anew; other disks are not concerned', () => {
  const log = new CrashLog(() => 0);
  for (let i = 0; i < 3; i++) log.died('sdb1', 100);
  expect(log.of('sdb1')).toEqual({ times: 3, wait: 4000 });
  expect(log.of('sdc1')).toBeUndefined();
  log.died('sdb1', 60_000);
  expect(log.of('sdb1')).toBeUndefined();
  log.died('sdb1', 100);
  expect(log.of('sdb1')?.times).toBe(2);
  log.forget('sdb1');
  expect(log.of('sdb1')).toBeUndefined();
});
