import { existsSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EJECT_FILE, EjectRequests } from '../../../../src/node/media/eject-requests.ts';

/** Children that were to be started, in order, and how many of the first cannot be, as on a node that is out of processes. */
const children = vi.hoisted(() => ({ failing: 0, started: [] as Promise<unknown>[], onStart: () => {} }));
vi.mock('../../../../src/linux/child.ts', async (load) => {
  const child = await load<typeof import('../../../../src/linux/child.ts')>();
  const runChild: typeof child.runChild = (...args) => {
    const error = Object.assign(new Error('EAGAIN: posix_spawnp'), { code: 'EAGAIN' });
    const result = children.failing-- > 0 ? Promise.reject(error) : child.runChild(...args);
    children.started.push(result);
    children.onStart();
    return result;
  };
  return { ...child, runChild };
});

describe.runIf(process.platform === 'linux')('a file that asks for an ejection', () => {
  let disk: string;
  let requests: EjectRequests;
  const onRequest = vi.fn();
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    disk = mkdtempSync(join(tmpdir(), 'hotmount-eject-'));
    onRequest.mockClear();
    Object.assign(children, { failing: 0, started: [] });
    requests = new EjectRequests(pino({ enabled: false }), onRequest);
  });
  afterEach(() => {
    requests.close();
    vi.useRealTimers();
    rmSync(disk, { recursive: true });
  });
  const file = (): string => join(disk, EJECT_FILE);
  const whenStarted = (): Promise<void> =>
    new Promise((resolve) => {
      children.onStart = resolve;
    });
  const settled = async (): Promise<void> => {
    await Promise.allSettled(children.started);
    await setImmediate();
  };

  it('is removed, and asks once', async () => {
    requests.follow('sdb', disk);
    const started = whenStarted();
    writeFileSync(file(), '');
    await started;
    await settled();
    expect(onRequest).toHaveBeenCalledExactlyOnceWith('sdb');
    expect(existsSync(file())).toBe(false);
  });

  it('is not looked at again where the disk was unmounted while no child could be started', async () => {
    requests.follow('sdb', disk);
    children.failing = 1;
    const started = whenStarted();
    writeFileSync(file(), '');
    await started;
    requests.close();
    await settled();
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each(['made', 'removed'])('and that was %s is looked at again where no child can be started', async (how) => {
    const isMade = how === 'made';
    if (!isMade) writeFileSync(file(), '');
    children.failing = 1;
    requests.follow('sdb', disk);
    const started = whenStarted();
    if (isMade) writeFileSync(file(), '');
    else unlinkSync(file());
    await started;
    await settled();
    expect(onRequest).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1000);
    // And perhaps once more: that the file is removed is an event, too.
    expect(children.started.length).toBeGreaterThan(1);
    await settled();
    expect(onRequest).toHaveBeenCalledTimes(isMade ? 1 : 0);
    expect(existsSync(file())).toBe(false);
  });
});
