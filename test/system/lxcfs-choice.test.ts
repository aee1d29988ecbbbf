import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { LxcfsStatus } from '../../src/node/lxcfs/status.ts';
import { treeOf } from '../lxcfs-trees.ts';
import { Installation, newerLxcfsRuns } from './lxcfs/installation.ts';
import { ReadingContainer } from './lxcfs/reading.ts';
import { LxcfsService } from './lxcfs/service.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const CPUS = availableParallelism();

describeSystem('the choice of lxcfs', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  let lxcfs: LxcfsService;
  let installation: Installation;
  beforeEach(() => {
    rig = new Rig();
    installation = new Installation(rig);
  });
  afterEach(() => rig.close());

  function service(...args: string[]): LxcfsService {
    lxcfs = new LxcfsService(rig, args);
    lxcfs.path = installation.path;
    lxcfs.trees = rig.path('trees');
    mkdirSync(lxcfs.trees);
    return lxcfs;
  }
  const offer = (name: string, tree: string): void => symlinkSync(tree, `${lxcfs.trees}/${name}`);
  const settles = (path: string): Promise<LxcfsStatus> =>
    until(`${path} serves, with a standby`, async () => {
      const status = await lxcfs.status();
      return status?.settled && status.program?.path === path ? status : undefined;
    });
  const reading = async (): Promise<ReadingContainer> => {
    const container = new ReadingContainer(rig, { source: lxcfs.source }).start();
    await until('it reads', () => container.last().size === container.files.length);
    return container;
  };

  it('falls on the newest that knows the node’s cgroups, of those that the image has', async () => {
    service();
    offer('sid', treeOf('sid'));
    offer('trixie', treeOf('trixie'));
    lxcfs.spawn();
    const [path, version] = newerLxcfsRuns()
      ? [`${lxcfs.trees}/trixie/usr/bin/lxcfs`, '6.0.4']
      : [`${installation.path.slice(0, -1)}/lxcfs`, '5.0.3'];
    const status = await settles(path);
    expect(status.instances.map((instance) => instance.version)).toEqual([version, version]);
    await lxcfs.logged(/trying another lxcfs: lxcfs 7\.[^"]* was told MemTotal/);
    if (!newerLxcfsRuns()) await lxcfs.logged(/trying another lxcfs: lxcfs 6\.[^"]* shows a reader no \/proc\/meminfo/);
    const container = await reading();
    expect(container.last().get('/proc/meminfo')).toBe(container.memTotal);
  });

  it.skipIf(CPUS === 1)(
    'falls on one that tells the truth rather than on a newer one, and no reader notices',
    async () => {
      service();
      installation.installUntrue();
      await lxcfs.start();
      const { untrueViews } = await settles(`${installation.path.slice(0, -1)}/lxcfs`);
      expect(untrueViews.map(({ view }) => view)).toEqual(expect.arrayContaining(['cpuinfo', 'stat', 'cpu']));
      const container = await reading();
      expect(container.last().get('/proc/cpuinfo')).toBe(CPUS);

      offer('own', '/');
      await settles(`${lxcfs.trees}/own/usr/bin/lxcfs`);
      await until('it reads its own', () => container.last().get('/proc/cpuinfo') === 1);
      expect(container.errors()).toEqual({ time: 0, errnos: new Set() });
      expect(container.observations().filter(({ file }) => file === '/proc/meminfo')).toHaveLength(1);
    },
  );

  it.skipIf(CPUS === 1)(
    'gives pods the node’s own file for a view that it tells nothing of their own in, where the policy says so',
    async () => {
      const policy = rig.path('policy.yaml');
      writeFileSync(policy, 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\nlxcfs:\n  onUntrue: node\n');
      service('--policy', policy);
      installation.installUntrue();
      await lxcfs.start();
      const container = await reading();
      expect(container.last().get('/proc/meminfo')).toBe(container.memTotal);
      const typeOf = (file: string) => container.mounts().find(({ mountPoint }) => mountPoint === file)?.fsType;
      expect(['meminfo', 'cpuinfo', 'stat'].map((view) => typeOf(`/proc/${view}`))).toEqual([
        'fuse.lxcfs',
        'proc',
        'proc',
      ]);
    },
  );
});
