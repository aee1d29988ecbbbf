import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { tryLock } from '../../src/linux/file-lock.ts';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

describeSystem('the run dir', ['gcc'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('is mounted once, however many open it at the same time', async () => {
    const runDir = rig.path('run');
    mkdirSync(runDir);
    const unlock = tryLock(runDir) as () => void;
    const script = `
      import { openRunDir } from ${JSON.stringify(source('node/run-dir/run-dir.ts'))};
      process.stdout.write('waits,');
      process.stdout.write(openRunDir(${JSON.stringify(runDir)}).path);`;
    const openers = Array.from({ length: 4 }, () => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      rig.onClose('process', () => child.kill('SIGKILL'));
      const opener = { said: '', ended: once(child, 'close') };
      child.stdout.on('data', (data) => {
        opener.said += data;
      });
      return opener;
    });
    await until('all are about to', () => openers.every(({ said }) => said === 'waits,'));
    expect(readMountinfo().some(({ mountPoint }) => mountPoint === runDir)).toBe(false);
    unlock();
    await Promise.all(openers.map(({ ended }) => ended));
    expect(openers.map(({ said }) => said)).toEqual(Array(4).fill(`waits,${runDir}`));
    expect(readMountinfo().filter(({ mountPoint }) => mountPoint === runDir)).toHaveLength(1);
  });

  it('hides no directory of the system, by a link either, and says why it cannot be made', () => {
    const link = rig.path('link');
    symlinkSync('/proc', link);
    const file = rig.path('file');
    writeFileSync(file, '');
    for (const [path, problem] of [
      ['/proc', 'would hide'],
      ['/sys/fs', 'would hide'],
      ['/var/lib/../../etc', 'would hide'],
      [link, 'would hide'],
      [file, 'cannot be made (EEXIST'],
    ] as const) {
      // In a namespace of its own: what is mounted there is gone with it.
      const { status, stderr } = spawnSync(
        'unshare',
        ['--mount', process.execPath, source('cli.ts'), 'lxcfs', '--run-dir', path],
        { encoding: 'utf8', timeout: 60_000 },
      );
      expect([path, status, stderr]).toEqual([path, 1, expect.stringContaining(problem)]);
      expect(stderr).toContain('have --run-dir name another directory');
    }
  });

  it('is refused by a kernel that is too old, with the version that it takes, and nothing is left mounted', () => {
    const runDir = rig.path('run');
    const fakeOldKernel = rig.path('fake-old-kernel');
    run('gcc', '-O1', '-o', fakeOldKernel, join(import.meta.dirname, 'support/fake-old-kernel.c'));
    for (const command of [['node', '--lxcfs', 'off', '--metrics-port', '0'], ['lxcfs']]) {
      const { status, stderr } = spawnSync(
        fakeOldKernel,
        [process.execPath, source('cli.ts'), ...command, '--run-dir', runDir],
        { encoding: 'utf8' },
      );
      expect(stderr).toContain('has no mount_setattr(2): hotmount takes Linux 5.12 or newer');
      expect(status).toBe(1);
    }
    expect(readMountinfo().some(({ mountPoint }) => mountPoint === runDir)).toBe(false);
  });
});
