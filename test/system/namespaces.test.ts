import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { findMounts, namespaceOf } from '../../src/linux/namespaces.ts';
import { Rig, readText, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('looking through all mount namespaces', ['unshare'], () => {
  let rig: Rig;
  let device: string;
  let target: string;
  beforeEach(() => {
    rig = new Rig();
    target = rig.path('mounted');
    mkdirSync(target);
    run('mount', '-t', 'tmpfs', 'looked-for', target);
    device = readMountinfo().find(({ mountPoint }) => mountPoint === target)?.device as string;
  });
  afterEach(() => rig.close());

  /** Runs a script in a mount namespace of its own, which begins with a copy of all mounts; resolves when it has printed a line. */
  async function elsewhere(script: string): Promise<ChildProcess> {
    const child = spawn('unshare', ['--mount', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    rig.onClose('process', () => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    return child;
  }

  /** Others on this machine may have copied the mount as well. */
  const isFoundIn = (namespace: string | undefined, { namespaces } = findMounts([device])): boolean =>
    namespaces.some(({ namespace: { id } }) => id === namespace);

  it('finds a mount in each that has it', async () => {
    const child = await elsewhere('echo; exec sleep 1000');
    const found = findMounts([device]);
    expect(found.complete).toBe(true);
    for (const pid of ['self', child.pid as number]) expect(isFoundIn(namespaceOf(pid), found)).toBe(true);
    expect(found.namespaces[0]?.mounts.map(({ mountPoint }) => mountPoint)).toEqual([target]);
  });

  it('never takes one for empty whose processes live but a moment', async () => {
    // Each starts the next one and ends: whoever is asked may have gone before it answers.
    const [relay, stop] = [rig.path('relay'), rig.path('stop')];
    writeFileSync(relay, `[ -e ${stop} ] || sh ${relay} &`);
    rig.onClose('process', () => writeFileSync(stop, ''));
    const starter = await elsewhere(`readlink /proc/self/ns/mnt > ${rig.path('namespace')}; echo; . ${relay}`);
    const namespace = readText(rig.path('namespace')).trim();
    await until('the first has ended', () => starter.exitCode !== null);
    let found = 0;
    for (let look = 0; look < 100; look++) {
      const result = findMounts([device]);
      if (isFoundIn(namespace, result)) found++;
      else expect(result.complete).toBe(false);
    }
    expect(found).toBeGreaterThan(0);
  });

  it('sees it through the other threads of a process whose first one has ended', async () => {
    const program = `
      const { Worker } = require('node:worker_threads');
      const libc = require(process.argv[1]).load('libc.so.6');
      new Worker('console.log("up"); setInterval(() => {}, 1e6)', { eval: true }).once('online', () => setTimeout(() => {
        require('node:fs').writeSync(1, 'up');
        libc.func('long syscall(long, ...)')(process.arch === 'arm64' ? 93 : 60, 'int', 0);
      }, 100));`;
    const koffi = fileURLToPath(import.meta.resolve('koffi'));
    const child = spawn('unshare', ['--mount', process.execPath, '-e', program, koffi], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    rig.onClose('process', () => child.kill('SIGKILL'));
    await until('its first thread has ended', () => /^State:\s*Z/m.test(readText(`/proc/${child.pid}/status`)));
    const [, thread] = readdirSync(`/proc/${child.pid}/task`);
    expect(isFoundIn(namespaceOf(thread as string))).toBe(true);
  });
});
