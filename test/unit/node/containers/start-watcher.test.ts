import { mkdirSync, mkdtempSync, rmdirSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StartWatcher } from '../../../../src/node/containers/start-watcher.ts';

/** A busy machine takes its time; vitest waits for one second. */
const PATIENCE = { timeout: 20_000 };

/** A plain directory in place of the cgroup tree. */
describe.runIf(process.platform === 'linux')('a cgroup that comes', () => {
  let root: string;
  let watcher: StartWatcher;
  const events = { onStart: vi.fn(), onMounts: vi.fn(), onEnd: vi.fn() };
  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'hotmount-starts-'));
    for (const event of Object.values(events)) event.mockClear();
    watcher = new StartWatcher(root, events, pino({ enabled: false }));
    // Of the directory itself being made.
    await sleep(50);
    events.onStart.mockClear();
  });
  afterEach(() => {
    watcher.close();
    rmSync(root, { recursive: true });
  });

  it('is a start, and its end is told', async () => {
    mkdirSync(join(root, 'pod'));
    await vi.waitFor(() => expect(events.onStart).toHaveBeenCalled(), PATIENCE);
    expect(watcher.problem).toBeUndefined();
    rmdirSync(join(root, 'pod'));
    await vi.waitFor(() => expect(events.onEnd).toHaveBeenCalled(), PATIENCE);
  });

  it('and cannot be read is not taken for one that has gone: it is said, and looked at again', async () => {
    // ELOOP: what a process without descriptors would be told is not to be had here.
    symlinkSync('loop', join(root, 'loop'));
    await vi.waitFor(() => expect(watcher.problem).toMatch(/ELOOP/), PATIENCE);
    expect(events.onEnd).not.toHaveBeenCalled();
    unlinkSync(join(root, 'loop'));
    await vi.waitFor(() => expect(events.onStart).toHaveBeenCalled(), PATIENCE);
    expect(watcher.problem).toBeUndefined();
  });
});
