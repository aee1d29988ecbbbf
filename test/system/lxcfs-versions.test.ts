import { existsSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { ReadingContainer } from './lxcfs/reading.ts';
import { LxcfsService } from './lxcfs/service.ts';
import { Trees } from './lxcfs/versions.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const HAS_V1 = existsSync('/sys/fs/cgroup/memory');

describeSystem('other versions of lxcfs', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  let trees: Trees;
  let lxcfs: LxcfsService;
  beforeEach(() => {
    rig = new Rig();
    trees = new Trees(rig);
    lxcfs = new LxcfsService(rig);
    lxcfs.trees = trees.path;
  });
  afterEach(() => rig.close());

  const start = (): ReadingContainer => new ReadingContainer(rig, { source: lxcfs.source }).start();
  const runs = (version: string): Promise<boolean> =>
    until(`both are ${version}`, async () => {
      const { instances } = await lxcfs.healthy();
      return instances.length === 2 && instances.every((instance) => instance.version === version);
    });

  it('serve, heal, and leave nothing mounted but their file systems', async () => {
    const before = readMountinfo(1).map(({ id }) => id);
    const version = trees.add('trixie');
    await lxcfs.start();
    await runs(version);
    const container = start();
    await until('it reads', () => container.last().get('/proc/meminfo') === container.memTotal);
    process.kill((await lxcfs.instance('active')).pid, 'SIGKILL');
    await until('it is noticed', async () => (await lxcfs.status())?.restarts === 1);
    await runs(version);
    await until('it reads again', () => container.last().get('/proc/meminfo') === container.memTotal);
    const fresh = readMountinfo(1).filter(({ id }) => !before.includes(id));
    const foreign = fresh.filter(({ mountPoint }) => !mountPoint.startsWith(rig.dir));
    expect(foreign).toEqual([]);
  });

  it('follow one another, up and down, and no reader notices', async () => {
    await lxcfs.start();
    const installed = (await lxcfs.status())?.program?.version as string;
    const container = start();
    await until('it reads', () => container.last().size === container.files.length);
    const newer = trees.add('trixie');
    await runs(newer);
    trees.remove('trixie');
    await runs(installed);
    expect(container.errors()).toEqual({ time: 0, errnos: new Set() });
    const totals = container.observations().filter(({ file }) => file === '/proc/meminfo');
    expect(new Set(totals.map(({ value }) => value))).toEqual(new Set([container.memTotal]));
  });

  it.runIf(HAS_V1)('are tried, and another is run where a reader is told the node’s values', async () => {
    const unfit = trees.add('sid');
    const fit = trees.add('trixie');
    await lxcfs.start();
    await runs(fit);
    expect(lxcfs.log).toMatch(
      new RegExp(`trying another lxcfs: lxcfs ${unfit} is not fit: a reader with a memory limit`),
    );
    expect((await lxcfs.status())?.problem).toBeUndefined();
  });
});
