import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Installation } from './lxcfs/installation.ts';
import { ReadingContainer } from './lxcfs/reading.ts';
import { LxcfsService } from './lxcfs/service.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('an lxcfs that leaves one container waiting', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('is found, though it answers all others, and replaced', async () => {
    const installation = new Installation(rig);
    const keepLockOf = installation.makeLockable();
    const lxcfs = new LxcfsService(rig);
    lxcfs.path = installation.path;
    await lxcfs.start();
    const [stuck, other] = [0, 1].map(() =>
      new ReadingContainer(rig, { source: lxcfs.source, files: ['/proc/meminfo', '/proc/loadavg'] }).start(),
    ) as [ReadingContainer, ReadingContainer];
    await until('both read', () => [stuck, other].every((container) => container.last().size === 2));
    const before = await lxcfs.instance('active');
    keepLockOf(stuck.pid);
    const syscall = () => readFileSync(`/proc/${stuck.pid}/stack`, 'latin1');
    await until('it waits', () => syscall().includes('fuse'));

    await until('it is ended', async () => ((await lxcfs.status())?.restarts ?? 0) > 0);
    await lxcfs.logged(/"cause":"hung".*"lxcfs hung"/);
    await lxcfs.healthy();
    await until('both read again', () =>
      [stuck, other].every((container) => [...container.last().values()].every((value) => value > 0)),
    );
    expect((await lxcfs.instance('active')).id).not.toBe(before.id);
    // Once.
    expect((await lxcfs.status())?.restarts).toBe(1);
    expect(other.observations().filter(({ file, value }) => file === '/proc/meminfo' && value > 0)).not.toHaveLength(0);
  });
});
