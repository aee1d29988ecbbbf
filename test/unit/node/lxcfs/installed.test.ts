import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Installed } from '../../../../src/node/lxcfs/installed.ts';

const MINUTE = 60_000;

describe('of the lxcfs of a node,', () => {
  let dir: string;
  let lines: string[];
  let installed: Installed;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hotmount-installed-'));
    vi.stubEnv('PATH', `${dir}:${process.env['PATH']}`);
    vi.stubEnv('HOTMOUNT_LXCFS', `${dir}/trees`);
    vi.useFakeTimers({ toFake: ['performance'] });
    lines = [];
    installed = new Installed(pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) }));
    installed.cgroups = { version: 'v2', memory: dir };
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllEnvs();
    rmSync(dir, { recursive: true });
  });

  function install(path: string, script: string): void {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    writeFileSync(join(dir, path), `#!/bin/sh\n${script}\n`);
    chmodSync(join(dir, path), 0o755);
  }

  it('one that does not say what it is is left out with a warning, and asked again later', async () => {
    install('lxcfs', 'echo 5.0.3');
    // Without the shell that it needs.
    install('trees/new/usr/bin/lxcfs', 'echo 7.0.0');
    expect(await installed.refresh()).toBeUndefined();
    expect(installed.program?.version).toBe('5.0.3');
    expect(lines.join()).toMatch(/trees\/new\/usr\/bin\/lxcfs.*left out/);
    expect(installed.hasChanged).toBe(false);
    vi.advanceTimersByTime(MINUTE / 4);
    expect(installed.hasChanged).toBe(true);
    await installed.refresh();
    expect(installed.hasChanged).toBe(false);
    expect(lines).toHaveLength(1);
    rmSync(join(dir, 'trees'), { recursive: true });
    await installed.refresh();
    vi.advanceTimersByTime(120 * MINUTE);
    expect(installed.hasChanged).toBe(false);
  });

  it('one that failed several times gives way to another, and gets another chance later', async () => {
    install('lxcfs', 'echo 5.0.3');
    await installed.refresh();
    const { program } = installed;
    if (!program) throw new Error('none was found');
    for (let tries = 0; tries < 3; tries++) installed.failed(program, false);
    expect(installed.hasChanged).toBe(false);
    vi.advanceTimersByTime(5 * MINUTE);
    expect(installed.hasChanged).toBe(true);
    await installed.refresh();
    expect(installed.hasChanged).toBe(false);
    for (let tries = 0; tries < 3; tries++) installed.failed(program, false);
    vi.advanceTimersByTime(5 * MINUTE);
    expect(installed.hasChanged).toBe(false);
    vi.advanceTimersByTime(5 * MINUTE);
    expect(installed.hasChanged).toBe(true);
  });

  it('one that tells a reader what it should not is tried no more', async () => {
    install('lxcfs', 'echo 5.0.3');
    await installed.refresh();
    if (installed.program) installed.failed(installed.program, true);
    vi.advanceTimersByTime(24 * 60 * MINUTE);
    expect(installed.hasChanged).toBe(false);
  });
});
