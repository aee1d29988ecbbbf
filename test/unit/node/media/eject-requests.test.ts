import { existsSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EJECT_FILE, EjectRequests } from '../../../../src/node/media/eject-requests.ts';

/** How many children cannot be started, as on a node that is out of processes. */
const shortage = vi.hoisted(() => ({ left: 0 }));
vi.mock('../../../../src/linux/child.ts', async (load) => {
  const child = await load<typeof import('../../../../src/linux/child.ts')>();
  const runChild: typeof child.runChild = async (...args) => {
    if (shortage.left-- > 0) throw Object.assign(new Error('EAGAIN: posix_spawnp'), { code: 'EAGAIN' });
    return child.runChild(...args);
  };
  return { ...child, runChild };
});

describe.runIf(process.platform === 'linux')('a file that asks for an ejection', () => {
  let disk: string;
  let requests: EjectRequests;
  const onRequest = vi.fn();
  beforeEach(() => {
    disk = mkdtempSync(join(tmpdir(), 'hotmount-eject-'));
    onRequest.mockClear();
    shortage.left = 0;
    requests = new EjectRequests(pino({ enabled: false }), onRequest);
  });
  afterEach(() => {
    requests.close();
    rmSync(disk, { recursive: true });
  });
  const file = (): string => join(disk, EJECT_FILE);

  it('is removed, and asks once', async () => {
    requests.follow('sdb', disk);
    writeFileSync(file(), '');
    await vi.waitFor(() => expect(onRequest).toHaveBeenCalledExactlyOnceWith('sdb'));
    expect(existsSync(file())).toBe(false);
  });

  it('and goes asks for nothing, also where no child can be started to see that', async () => {
    writeFileSync(file(), '');
    // Of the file being made.
    await sleep(50);
    shortage.left = 1;
    requests.follow('sdb', disk);
    unlinkSync(file());
    await vi.waitFor(() => expect(shortage.left).toBeLessThan(0), 30_000);
    await sleep(50);
    expect(onRequest).not.toHaveBeenCalled();
  });

  it('is seen later where no child can be started at first', async () => {
    shortage.left = 1;
    requests.follow('sdb', disk);
    writeFileSync(file(), '');
    await vi.waitFor(() => expect(onRequest).toHaveBeenCalledExactlyOnceWith('sdb'), 30_000);
    expect(existsSync(file())).toBe(false);
  });
});
