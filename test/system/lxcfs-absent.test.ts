import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { openRunDir } from '../../src/node/run-dir/run-dir.ts';
import { Installation } from './lxcfs/installation.ts';
import { ReadingContainer, VIEWS } from './lxcfs/reading.ts';
import { endLxcfs, LxcfsService } from './lxcfs/service.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const NODE_TOTAL = totalmem() / 1024;

describeSystem('containers without lxcfs', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  let installation: Installation;
  let lxcfs: LxcfsService;
  beforeEach(async () => {
    rig = new Rig();
    installation = new Installation(rig);
    lxcfs = new LxcfsService(rig);
    lxcfs.path = installation.path;
    await lxcfs.start();
  });
  afterEach(() => rig.close());

  const startContainers = (): ReadingContainer[] => [
    new ReadingContainer(rig, { source: lxcfs.source, files: [...VIEWS, '/sys/devices/system/cpu'] }).start(),
    new ReadingContainer(rig, { source: lxcfs.source, userNamespace: true }).start(),
  ];

  /** All its files are there once, from lxcfs or the node, with the flags they had, and can be read. */
  async function reads(container: ReadingContainer, memTotal: number, fsTypes: readonly string[]): Promise<void> {
    await until(`${container.id} reads ${memTotal}`, () => {
      const last = container.last();
      return last.get('/proc/meminfo') === memTotal && [...last.values()].every((value) => value > 0);
    });
    const ours = () => container.mounts().filter(({ source }) => source === 'hotmount');
    // Dead files go when everyone reads again.
    await expect
      .poll(
        () =>
          ours()
            .map(({ mountPoint }) => mountPoint)
            .sort(),
        { timeout: 20_000 },
      )
      .toEqual([...container.files].sort());
    const mounts = ours();
    for (const { fsType, options } of mounts) {
      expect(fsTypes).toContain(fsType);
      expect(options).toEqual([container.readOnly ? 'ro' : 'rw', 'nosuid', 'nodev', 'relatime']);
    }
  }

  const readNode = (container: ReadingContainer) => reads(container, NODE_TOTAL, ['proc', 'sysfs']);
  const readOwn = (container: ReadingContainer) => reads(container, container.memTotal, ['fuse.lxcfs']);

  const endInstances = (): void => endLxcfs(lxcfs.runDir);

  it('read the node’s values where none comes back, and their own again when one does', async () => {
    const containers = startContainers();
    for (const container of containers) await readOwn(container);
    const before = containers.map((container) => container.otherMounts());
    const files = containers.flatMap((container) => container.files).length;
    for (const spoil of ['breakProgram', 'installTooOld'] as const) {
      installation[spoil]();
      endInstances();
      for (const container of containers) await readNode(container);
      const why = spoil === 'breakProgram' ? /no luck/ : /lxcfs 2\.0\.8: install 4\.0/;
      const status = await until('all are counted, and it says why', async () => {
        const now = await lxcfs.status();
        return now?.attached.nodeFiles === files && why.test(now.problem ?? '') ? now : undefined;
      });
      expect(status).toMatchObject({ ready: false, settled: false, attached: { containers: 2, files: 0 } });
      // One that starts now asked for its own limits: it waits.
      const late = new ReadingContainer(rig, { source: lxcfs.source });
      await sleep(1200); // the kernel trusts what it has looked up for a second
      expect(() => late.start()).toThrow(/runc/);
      late.stop();
      // What they read is on no one's mind but the mount tables'.
      await lxcfs.kill();
      installation.installProgram();
      await lxcfs.start();
      for (const container of containers) await readOwn(container);
      expect((await lxcfs.status())?.attached).toEqual({ containers: 2, files, nodeFiles: 0 });
    }
    expect(containers.map((container) => container.otherMounts())).toEqual(before);
  });

  it('read on from the one that serves where no other can be started, and the status says why until one can', async () => {
    installation.breakProgram();
    const without = await until('it says why', async () => {
      const status = await lxcfs.status();
      return /no luck/.test(status?.problem ?? '') ? status : undefined;
    });
    expect(without).toMatchObject({ ready: true, settled: false });
    installation.installProgram();
    await lxcfs.healthy();
    await until('nothing is wrong', async () => (await lxcfs.status())?.problem === undefined);
  });

  it('are moved to the next instance also where the run dir is full, and it is published when there is room', async () => {
    const containers = startContainers();
    for (const container of containers) await readOwn(container);
    const runDir = openRunDir(lxcfs.runDir);
    const filler = `${runDir.work}/filler`;
    try {
      mkdirSync(filler);
      expect(() => {
        for (let i = 0; ; i++) writeFileSync(`${filler}/${i}`, '');
      }).toThrow(/ENOSPC/);
      const { pid, id } = await lxcfs.instance('standby');
      process.kill((await lxcfs.instance('active')).pid, 'SIGKILL');
      const full = await until('it says so', async () => {
        const status = await lxcfs.status();
        return status?.problem?.includes('cannot be made to lead to') ? status : undefined;
      });
      expect(full.problem).toMatch(new RegExp(`instance ${id} .*ENOSPC`));
      expect(full.ready).toBe(false);
      for (const container of containers) await readOwn(container);
      rmSync(filler, { recursive: true });
      await lxcfs.healthy();
      expect((await lxcfs.instance('active')).pid).toBe(pid);
    } finally {
      rmSync(filler, { recursive: true, force: true });
      runDir.close();
    }
  });

  it('cost the node no more than single files, and those are left as they are wherever the run dir is seen', async () => {
    const [container] = startContainers() as [ReadingContainer];
    await readOwn(container);
    // As the daemon's pod, and many a service of systemd's, has it.
    const other = spawn('unshare', ['--mount', '--propagation', 'slave', 'sleep', '1000'], { stdio: 'ignore' });
    rig.onClose('process', () => other.kill('SIGKILL'));
    installation.installTooOld();
    endInstances();
    await readNode(container);
    const seenBy = (pid: number | 'self') =>
      readMountinfo(pid).filter(({ mountPoint }) => mountPoint.startsWith(`${lxcfs.runDir}/.lxcfs/node/`));
    const node = seenBy('self');
    expect(node.map(({ mountPoint }) => mountPoint)).toContain(`${lxcfs.runDir}/.lxcfs/node/proc/meminfo`);
    for (const { options, root } of node) {
      expect(options).toContain('ro');
      expect(root).not.toBe('/');
    }
    expect(readMountinfo().some(({ mountPoint }) => mountPoint.endsWith('/.lxcfs/stage'))).toBe(false);
    const elsewhere = seenBy(other.pid as number);
    expect(elsewhere).toHaveLength(node.length);
    await lxcfs.kill();
    installation.installProgram();
    await lxcfs.start();
    await readOwn(container);
    expect(seenBy('self')).toEqual(node);
    expect(seenBy(other.pid as number)).toEqual(elsewhere);
  });
});

describeSystem('a view that the installed lxcfs does not serve', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('is the node’s own file, with a warning, until an lxcfs that serves it is installed', async () => {
    const installation = new Installation(rig);
    installation.installLibrary({ without: 'slabinfo' });
    const policy = rig.path('policy.yaml');
    writeFileSync(policy, `${rig.policy()}lxcfs: {views: [meminfo, slabinfo]}\n`);
    const lxcfs = new LxcfsService(rig, ['--policy', policy]);
    lxcfs.path = installation.path;
    await lxcfs.start();
    expect(await lxcfs.status()).toMatchObject({ missingViews: ['slabinfo'] });
    await lxcfs.logged(/"views":\["slabinfo"\].*does not serve all views of the policy/);
    const files = ['/proc/meminfo', '/proc/slabinfo', '/sys/devices/system/cpu'];
    const container = new ReadingContainer(rig, { source: lxcfs.source, files }).start();
    const types = () => container.mounts().flatMap((m) => (files.includes(m.mountPoint) ? [m.fsType] : []));
    await until('it reads', () => container.last().size === 2);
    expect(container.last()).toEqual(
      new Map([
        ['/proc/meminfo', container.memTotal],
        ['/proc/slabinfo', 1],
      ]),
    );
    expect(types()).toEqual(['fuse.lxcfs', 'proc', 'fuse.lxcfs']);

    installation.installLibrary();
    await until('lxcfs serves it', () => types().join() === 'fuse.lxcfs,fuse.lxcfs,fuse.lxcfs');
    expect((await lxcfs.healthy()).missingViews).toEqual([]);
    expect(container.errors()).toEqual({ time: 0, errnos: new Set() });

    installation.installLibrary({ without: 'slabinfo' });
    await until('it is the node’s again', () => types().sort().join() === 'fuse.lxcfs,fuse.lxcfs,proc');
    expect(container.last()).toEqual(
      new Map([
        ['/proc/meminfo', container.memTotal],
        ['/proc/slabinfo', 1],
      ]),
    );
    expect(container.errors()).toEqual({ time: 0, errnos: new Set() });
  });
});
