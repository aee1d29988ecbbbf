import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MountReplacer, NamespaceHangs } from '../../src/linux/mount-replacer.ts';
import { startLxcfs } from './lxcfs/foreign.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('replacing mounts', ['lxcfs'], () => {
  let rig: Rig;
  let hangs: string;
  let resume: () => void;
  beforeEach(async () => {
    rig = new Rig();
    const { path, child } = await startLxcfs(rig);
    hangs = `${path}/proc/meminfo`;
    child.kill('SIGSTOP');
    resume = () => child.kill('SIGCONT');
    await sleep(1200); // the kernel trusts what it has looked up for a second
  });
  afterEach(() => rig.close());

  it('ends although a call hangs, and whoever waits is told', async () => {
    const replacer = new MountReplacer();
    const waiting = [replacer.open([hangs], 'a hung file'), replacer.open(['/'], 'a directory')];
    const outcomes = Promise.allSettled(waiting);
    await sleep(100);
    await replacer.close();
    for (const outcome of await outcomes) expect(outcome).toMatchObject({ status: 'rejected' });
    await expect(replacer.open(['/'], 'a directory')).rejects.toThrow(/no mounts are replaced any more/);
    resume();
  });

  it('tells a file that cannot be opened now from one that is not there', async () => {
    const replacer = new MountReplacer();
    await replacer.warmUp();
    const before = openRoots();
    const [there, missing] = await replacer.open(['/', '/missing', '/etc/passwd/missing'], 'files');
    expect(missing).toBeUndefined();
    closeSync(there as number);
    const opening = replacer.open(['/', `/${'x'.repeat(300)}`], 'files');
    await expect(opening).rejects.toMatchObject({ code: 'ENAMETOOLONG', syscall: 'open' });
    expect(openRoots()).toBe(before);
    await replacer.close();
    resume();
  });

  it('gives the other jobs to another thread, and closes what the hanging one opened in the end', async () => {
    const replacer = new MountReplacer();
    await replacer.warmUp();
    const before = readdirSync('/proc/self/fd').length;
    const [hung, other] = await Promise.allSettled([
      replacer.open([hangs], 'a hung file'),
      replacer.open(['/'], 'a directory'),
    ]);
    expect(other).toMatchObject({ status: 'fulfilled' });
    const { reason } = hung as PromiseRejectedResult;
    expect(reason).toBeInstanceOf(NamespaceHangs);
    expect(reason.message).toBe('a hung file did not answer within 2000 ms');
    resume();
    await reason.returned;
    await replacer.close();
    // The directory, which is ours now.
    await until('no more is open', () => readdirSync('/proc/self/fd').length <= before + 1);
  });
});

/** How often this process has `/` open. */
const openRoots = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === '/';
    } catch {
      // That of the directory itself.
      return false;
    }
  }).length;
