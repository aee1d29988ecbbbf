import { afterEach, beforeEach, expect, it } from 'vitest';
import { fetchLxcfsStatus } from '../../src/node/lxcfs/api.ts';
import type { LxcfsStatus } from '../../src/node/lxcfs/status.ts';
import { ReadingContainer } from './lxcfs/reading.ts';
import { endLxcfs, lxcfsProcesses } from './lxcfs/service.ts';
import { Pod, type PodOptions, sharedRunDir } from './support/pod.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('the pod of hotmount lxcfs', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  let runDir: string;
  beforeEach(() => {
    rig = new Rig();
    runDir = sharedRunDir(rig);
    rig.onClose('process', () => endLxcfs(runDir));
  });
  afterEach(() => rig.close());

  const startPod = (options: Partial<PodOptions> = {}): Pod =>
    new Pod(rig, {
      args: ['lxcfs', '--run-dir', runDir, '--check-every', process.env['HOTMOUNT_PATIENCE'] ? '60' : '1'],
      runDir,
      propagation: 'rshared',
      ...options,
    });

  /** As a readiness probe finds out. */
  const settled = (pod: Pod): Promise<LxcfsStatus> =>
    until('the pod is ready', async () => {
      try {
        pod.exec('lxcfs', '--check', '--run-dir', runDir);
      } catch (error) {
        throw new Error(pod.log, { cause: error });
      }
      return fetchLxcfsStatus(runDir);
    });

  it('is upgraded without an error for any reader: the new one serves before the old one goes', async () => {
    const old = startPod();
    const before = await settled(old);
    const containers = [false, true].map((userNamespace) =>
      new ReadingContainer(rig, { source: `${runDir}/lxcfs`, userNamespace }).start(),
    );
    for (const container of containers) await until('it reads', () => container.last().size === container.files.length);

    const next = startPod();
    const after = await settled(next);
    expect(() => old.exec('lxcfs', '--check', '--run-dir', runDir)).toThrow(/of another container, still supervises/);
    old.remove();
    const own = after.instances.filter(({ role }) => role === 'active' || role === 'standby').map(({ pid }) => pid);
    expect(own).toHaveLength(2);
    for (const { pid } of before.instances) expect(own).not.toContain(pid);
    await until('only those of the new pod run', () => lxcfsProcesses(runDir).sort().join() === own.sort().join());
    for (const container of containers) {
      expect(container.errors()).toEqual({ time: 0, errnos: new Set() });
      expect(container.last().get('/proc/meminfo')).toBe(container.memTotal);
      expect(container.lxcfsMounts()).toHaveLength(container.files.length);
    }
    expect((await settled(next)).restarts).toBe(0);
  });

  it('serves where its root file system is read-only', async () => {
    await settled(startPod({ readOnlyRoot: true }));
    const container = new ReadingContainer(rig, { source: `${runDir}/lxcfs` }).start();
    await until('it reads its own limit', () => container.last().get('/proc/meminfo') === container.memTotal);
  });

  it('heals, when it comes back, the containers that its last one left with dead files', async () => {
    const first = startPod();
    await settled(first);
    const container = new ReadingContainer(rig, { source: `${runDir}/lxcfs` }).start();
    await until('it reads', () => container.last().size === container.files.length);
    // Its processes end with it, and nobody is there to notice.
    first.remove();
    await until('it gets errors', () => (container.last().get('/proc/meminfo') ?? 0) < 0);
    await until('none of its processes is left', () => lxcfsProcesses(runDir).length === 0);
    await settled(startPod());
    await until('it reads its own limit again', () => container.last().get('/proc/meminfo') === container.memTotal);
    expect(container.lxcfsMounts()).toHaveLength(container.files.length);
  });
});
