import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { prepareRenameMounted, renameMounted } from '../../src/linux/rename-mounted.ts';
import { Rig, readText, run } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('renaming what something is mounted on', ['unshare'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
    mkdirSync(rig.path('old'));
    run('mount', '-t', 'tmpfs', 'renamed', rig.path('old'));
    writeFileSync(rig.path('old/file'), 'content');
  });
  afterEach(() => rig.close());

  const pathsOf = (pid?: number): string[] =>
    readMountinfo(pid)
      .filter(({ source }) => source === 'renamed')
      .map(({ mountPoint }) => mountPoint);

  it('takes the mount along, here and in other namespaces', async () => {
    const child = spawn('unshare', ['--mount', 'sh', '-c', 'echo; exec sleep 1000'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    rig.onClose('process', () => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    const where = process.cwd();
    prepareRenameMounted();
    // A thread begins with the root and working directory of the one that starts it.
    const worker = new Worker('setInterval(() => {}, 1000)', { eval: true });
    await once(worker, 'online');
    expect(() => renameSync(rig.path('old'), rig.path('new'))).toThrow('EBUSY');
    renameMounted(rig.path('old'), rig.path('new'));
    expect(pathsOf()).toEqual([rig.path('new')]);
    expect(pathsOf(child.pid)).toEqual([rig.path('new')]);
    expect(readText(rig.path('new/file'))).toBe('content');
    await worker.terminate();
    expect([process.cwd(), realpathSync('/proc/self/root')]).toEqual([where, '/']);
  });

  it('never puts it in the place of another, and leaves this process where it was when it fails', () => {
    mkdirSync(rig.path('new'));
    expect(() => renameMounted(rig.path('old'), rig.path('new'))).toThrow('EEXIST');
    expect(() => renameMounted(rig.path('none'), rig.path('other'))).toThrow('ENOENT');
    expect(pathsOf()).toEqual([rig.path('old')]);
  });
});
