import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { Rig, run } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

describeSystem('the self-test of mount propagation', ['unshare'], () => {
  let rig: Rig;
  let runDir: string;
  beforeEach(() => {
    rig = new Rig();
    run('mount', '--make-shared', rig.dir);
    runDir = rig.path('run');
    mkdirSync(runDir);
  });
  afterEach(() => rig.close());

  /** In a process of its own, with `before` run ahead of it. */
  function selfTest(before = ''): { said: () => string; ended: Promise<unknown[]> } {
    const script = `
      import fs from 'node:fs';
      import { syncBuiltinESMExports } from 'node:module';
      import { openRunDir } from ${JSON.stringify(source('node/run-dir/run-dir.ts'))};
      import { checkPropagation } from ${JSON.stringify(source('node/run-dir/propagation-check.ts'))};
      const runDir = openRunDir(${JSON.stringify(runDir)});
      ${before}
      console.log(await checkPropagation(runDir) ?? 'pods see it');`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    rig.onClose('process', () => child.kill('SIGKILL'));
    let said = '';
    child.stdout.on('data', (data) => {
      said += data;
    });
    return { said: () => said, ended: once(child, 'close') };
  }

  const mounted = (): string[] =>
    readMountinfo()
      .map(({ mountPoint }) => mountPoint)
      .filter((mountPoint) => mountPoint.startsWith(`${runDir}/`));

  it('is well again after one that was killed in the middle of it', async () => {
    // It reads that table when its mount is there, and has not been taken away.
    const killed = selfTest(`
      const { readFileSync } = fs;
      fs.readFileSync = (path, ...rest) => path === '/proc/1/mountinfo'
        ? process.kill(process.pid, 'SIGKILL')
        : readFileSync(path, ...rest);
      syncBuiltinESMExports();`);
    expect(await killed.ended).toEqual([null, 'SIGKILL']);
    expect(mounted()).toEqual([`${runDir}/.self-test`]);

    const next = selfTest();
    await next.ended;
    expect(next.said()).toBe('pods see it\n');
    expect(mounted()).toEqual([]);
  });

  it('is no other’s business at the same time', async () => {
    const tests = Array.from({ length: 4 }, () => selfTest());
    await Promise.all(tests.map(({ ended }) => ended));
    expect(tests.map(({ said }) => said())).toEqual(Array(4).fill('pods see it\n'));
    expect(mounted()).toEqual([]);
  });
});
