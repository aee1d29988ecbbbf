import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import type { LxcfsStatus } from '../../src/node/lxcfs/status.ts';
import { startLxcfs } from './lxcfs/foreign.ts';
import { ReadingContainer, VIEWS } from './lxcfs/reading.ts';
import { endLxcfs, LxcfsService, lxcfsProcesses } from './lxcfs/service.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

/** What a lost lxcfs makes: ENOTCONN, ECONNABORTED for requests in flight, and EIO from one that is told to end while it answers. */
const LOST = [107, 103, 5];
const EACCES = 13;

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended since it was found.
  }
}

/** Before Linux 6.5, in user namespaces of their own, the dead file goes before the live one comes: for microseconds the node's shows. */
const [major = 0, minor = 0] = release().split('.').map(Number);
const MOUNTS_BENEATH = major > 6 || (major === 6 && minor >= 5);
const NODE_TOTAL = totalmem() / 1024;

describeSystem('lxcfs in running containers', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const count = SOAK ? 30 : 4;
  /** Different ones: with users of their own, with views the others do not have, with other limits. */
  function startContainers(source: string): ReadingContainer[] {
    return Array.from({ length: count }, (_, i) =>
      new ReadingContainer(rig, {
        source,
        memory: 32 + 16 * (i % 5),
        userNamespace: i % 4 === 3,
        files:
          i % 3 === 1
            ? [...VIEWS, '/proc/slabinfo', '/sys/devices/system/cpu']
            : i % 5 === 2
              ? ['/proc/meminfo']
              : VIEWS,
      }).start(),
    );
  }

  /** Every file is the published instance's, mounted once, with its flags; and reads as it should. */
  async function expectWhole(lxcfs: LxcfsService, containers: readonly ReadingContainer[]): Promise<void> {
    for (const container of containers) {
      await until(`${container.id} reads its own limits`, () => {
        const last = container.last();
        const wrong = [...last].filter(([file, value]) =>
          file === '/proc/meminfo' ? value !== container.memTotal : value <= 0,
        );
        return last.size > 0 && (wrong.length === 0 || Promise.reject(new Error(`${wrong} ${lxcfs.log.slice(-2000)}`)));
      });
      // Dead files go when everyone reads again.
      await expect
        .poll(
          () =>
            container
              .lxcfsMounts()
              .map(({ mountPoint }) => mountPoint)
              .sort(),
          { timeout: 20_000 },
        )
        .toEqual([...container.files].sort());
      const mounts = container.lxcfsMounts();
      expect(new Set(mounts.map(({ device }) => device)).size).toBe(1);
      for (const { options } of mounts) {
        expect(options).toEqual([container.readOnly ? 'ro' : 'rw', 'nosuid', 'nodev', 'relatime']);
      }
    }
  }

  /**
   * It has read nothing but its own limit, or an error that a lost lxcfs makes; and without a standby the node's, where the next one
   * took its time.
   */
  function expectOnlyTheTruth(container: ReadingContainer, hasStandby = true): void {
    const all = container.observations();
    for (const [i, { file, value }] of all.entries()) {
      // The node's own slabinfo is root's, and a container with users of its own has none.
      if (value === -EACCES && file === '/proc/slabinfo' && !hasStandby) continue;
      const around = () => JSON.stringify(all.slice(Math.max(0, i - 10), i + 10));
      if (value < 0) expect(LOST, around()).toContain(-value);
      else if (file === '/proc/meminfo' && !(value === NODE_TOTAL && !(MOUNTS_BENEATH && hasStandby))) {
        expect(value, around()).toBe(container.memTotal);
      }
    }
  }

  /** Descriptors by what they are, and threads. What is there for a moment, a child's pipes or a watch that follows a start, is left out. */
  function holds(pid: number): { descriptors: Record<string, number>; threads: number } {
    const descriptors: Record<string, number> = {};
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      try {
        const kind = readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/\d+/g, 'N');
        if (!/^(pipe|socket):|mountinfo/.test(kind)) descriptors[kind] = (descriptors[kind] ?? 0) + 1;
      } catch {
        // Closed since.
      }
    }
    return { descriptors, threads: readdirSync(`/proc/${pid}/task`).length };
  }

  async function noticed(lxcfs: LxcfsService, deaths: number): Promise<void> {
    await until(`${deaths} deaths are noticed`, async () => {
      const { restarts = 0 } = (await lxcfs.status()) ?? {};
      expect(restarts).toBeLessThanOrEqual(deaths);
      return restarts === deaths;
    });
  }

  async function settled(lxcfs: LxcfsService, containers: readonly ReadingContainer[]): Promise<void> {
    await lxcfs.healthy();
    await expectWhole(lxcfs, containers);
  }

  const kills = SOAK ? 50 : 5;
  it(`are right again after the active instance has been killed ${kills} times`, async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = startContainers(lxcfs.source);
    await settled(lxcfs, containers);
    const before = containers.map((container) => container.otherMounts());
    const held = holds(lxcfs.pid);
    for (let i = 0; i < kills; i++) {
      process.kill((await lxcfs.instance('active')).pid, i % 4 === 3 ? 'SIGTERM' : 'SIGKILL');
      await noticed(lxcfs, i + 1);
      await sleep((i * 37) % 150);
      await settled(lxcfs, containers);
    }
    for (const container of containers) expectOnlyTheTruth(container);
    expect(containers.map((container) => container.otherMounts())).toEqual(before);
    await until('two instances, no more', () => lxcfsProcesses(lxcfs.runDir).length === 2);
    await until('the supervisor holds what it held', () => {
      expect(holds(lxcfs.pid)).toEqual(held);
      return true;
    });
    const times = containers.map((container) => container.errors().time / kills);
    process.stderr.write(`error time per crash: ${times.map((time) => time.toFixed(1)).join(', ')} ms\n`);
  });

  it('are not touched when the standby is killed', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = startContainers(lxcfs.source);
    await settled(lxcfs, containers);
    process.kill((await lxcfs.instance('standby')).pid, 'SIGKILL');
    await noticed(lxcfs, 1);
    await settled(lxcfs, containers);
    for (const container of containers) expect(container.errors()).toEqual({ time: 0, errnos: new Set() });
  });

  it('are right again after both were killed at once', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = startContainers(lxcfs.source);
    await settled(lxcfs, containers);
    for (let i = 0; i < (SOAK ? 20 : 3); i++) {
      for (const pid of lxcfsProcesses(lxcfs.runDir)) end(pid);
      await noticed(lxcfs, 2 * (i + 1));
      await settled(lxcfs, containers);
    }
    for (const container of containers) expectOnlyTheTruth(container, false);
  });

  it('do not wait for an lxcfs that is stopped', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = startContainers(lxcfs.source);
    await settled(lxcfs, containers);
    const { id, pid } = await lxcfs.instance('active');
    process.kill(pid, 'SIGSTOP');
    await until('another is active', async () => {
      const active = (await lxcfs.status())?.instances.find(({ role }) => role === 'active');
      return active !== undefined && active.id !== id;
    });
    await settled(lxcfs, containers);
    const { restarts, lastGap } = (await lxcfs.status()) as LxcfsStatus;
    // On a machine that is too busy the standby's readers may be late as well.
    for (const container of containers) expectOnlyTheTruth(container, restarts === 1);
    expect(lastGap?.cause).toBe('hung');
  });

  it('do not wait where all are stopped, once two checks in a row have found that', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = startContainers(lxcfs.source);
    await settled(lxcfs, containers);
    const before = lxcfsProcesses(lxcfs.runDir);
    for (const pid of before) process.kill(pid, 'SIGSTOP');
    await noticed(lxcfs, 2);
    await settled(lxcfs, containers);
    for (const pid of lxcfsProcesses(lxcfs.runDir)) expect(before).not.toContain(pid);
    for (const container of containers) expectOnlyTheTruth(container, false);
    expect((await lxcfs.status())?.lastGap?.cause).toBe('hung');
  });

  it('notice nothing when the supervisor is killed and another adopts what runs', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = startContainers(lxcfs.source);
    await settled(lxcfs, containers);
    const pids = lxcfsProcesses(lxcfs.runDir);
    for (let i = 0; i < (SOAK ? 20 : 2); i++) {
      await (i % 2 ? lxcfs.stop() : lxcfs.kill());
      await lxcfs.start();
    }
    expect(lxcfsProcesses(lxcfs.runDir)).toEqual(pids);
    await settled(lxcfs, containers);
    for (const container of containers) expect(container.errors()).toEqual({ time: 0, errnos: new Set() });
    // An adopted one is no child: its death is noticed all the same.
    process.kill((await lxcfs.instance('active')).pid, 'SIGKILL');
    await noticed(lxcfs, 1);
    await settled(lxcfs, containers);
  });

  it('are right again after the supervisor and the active instance were killed together', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = startContainers(lxcfs.source);
    await settled(lxcfs, containers);
    const { pid } = await lxcfs.instance('active');
    await lxcfs.kill();
    process.kill(pid, 'SIGKILL');
    await lxcfs.start();
    await settled(lxcfs, containers);
  });
});

describeSystem('lxcfs and the containers that start', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const reads = (container: ReadingContainer): Promise<boolean> =>
    until(`${container.id} reads its own limit`, () => {
      const last = container.last();
      const device = new Set(container.lxcfsMounts().map((mount) => mount.device));
      return device.size === 1 && last.get('/proc/meminfo') === container.memTotal;
    });

  it(`end up right when they start, restart and stop while instances are killed`, async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = [0, 1, 2].map((i) => new ReadingContainer(rig, { source: lxcfs.source, memory: 32 + 16 * i }));
    const started = new Set<ReadingContainer>();
    for (let i = 0; i < (SOAK ? 60 : 12); i++) {
      const container = containers[i % 3] as ReadingContainer;
      const stop = () => started.delete(container) && container.stop();
      if (i % 2) stop();
      const all = lxcfsProcesses(lxcfs.runDir);
      for (const pid of i % 4 === 0 ? all : all.slice(0, 1)) end(pid);
      // While it is put right, perhaps.
      stop();
      await sleep((i * 29) % 40);
      // A runtime that finds no source fails, and is called again: that is what kubelets do.
      await until(`${container.id} starts`, () => {
        try {
          return container.start();
        } catch (error) {
          container.stop();
          throw error;
        }
      });
      started.add(container);
    }
    await lxcfs.healthy();
    for (const container of started) await reads(container);
  });

  it('are refused by their runtime when there is no lxcfs, and nothing is made in its place', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    await lxcfs.kill();
    endLxcfs(lxcfs.runDir);
    const container = new ReadingContainer(rig, { source: lxcfs.source });
    await sleep(1200); // the kernel trusts what it has looked up for a second
    expect(() => container.start()).toThrow(/runc/);
    container.stop();
    await lxcfs.start();
    container.start();
    await reads(container);
  });
});

describeSystem('lxcfs beside others', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('leaves an lxcfs of someone else alone, dead or alive, and the containers that read from it', async () => {
    const { path: foreign, child } = await startLxcfs(rig);
    const lxcfs = await new LxcfsService(rig).start();
    const theirs = new ReadingContainer(rig, { source: foreign }).start();
    const ours = new ReadingContainer(rig, { source: lxcfs.source }).start();
    await lxcfs.healthy();
    const before = theirs.mounts();
    const inNode = () => readMountinfo().filter(({ mountPoint }) => mountPoint === foreign);
    const nodeBefore = inNode();
    process.kill((await lxcfs.instance('active')).pid, 'SIGKILL');
    await until('it is noticed', async () => (await lxcfs.status())?.restarts === 1);
    await lxcfs.healthy();
    expect(theirs.mounts()).toEqual(before);
    expect(theirs.errors().errnos.size).toBe(0);
    child.kill('SIGKILL');
    process.kill((await lxcfs.instance('active')).pid, 'SIGKILL');
    await until('it is noticed', async () => (await lxcfs.status())?.restarts === 2);
    await lxcfs.healthy();
    expect(theirs.mounts()).toEqual(before);
    expect(inNode()).toEqual(nodeBefore);
    await until('ours reads', () => ours.last().get('/proc/meminfo') === ours.memTotal);
  });

  it('puts the others right where the way to a file of one hangs, and says which that is', async () => {
    const { path: foreign, child } = await startLxcfs(rig);
    const lxcfs = await new LxcfsService(rig).start();
    const start = () => new ReadingContainer(rig, { source: lxcfs.source }).start();
    const containers = [start(), start(), start()];
    const way = `${foreign}/proc/meminfo`;
    const pid = await sandbox(`mount --bind ${lxcfs.source}/proc/meminfo ${way} && echo $$ && exec sleep 1000`);
    containers.push(start(), start(), start());
    await lxcfs.healthy();
    child.kill('SIGSTOP');
    await sleep(1200); // the kernel trusts what it has looked up for a second
    process.kill((await lxcfs.instance('active')).pid, 'SIGKILL');
    await until('it says so', async () =>
      (await lxcfs.status())?.unhealed.some((one) => one.pid === pid && one.path === way),
    );
    const device = await activeDevice(lxcfs);
    for (const container of containers) {
      await until('it is on the new one', () => container.lxcfsMounts().every((mount) => mount.device === device));
      expect(container.lxcfsMounts()).toHaveLength(container.files.length);
    }
    expect((await lxcfs.status())?.unhealed.map((one) => one.pid)).toEqual([pid]);
    expect((await lxcfs.status())?.unhealed[0]?.reason).toMatch(/did not answer within 2000 ms|hangs/);
    child.kill('SIGCONT');
    await until('that one is right as well', async () => (await lxcfs.status())?.unhealed.length === 0);
    expect(readMountinfo(pid).find(({ mountPoint }) => mountPoint === way)?.device).toBe(device);
  });

  /** A process with a mount namespace of its own, made by a script that ends in `echo $$ && exec sleep 1000`. */
  async function sandbox(script: string, ...flags: string[]): Promise<number> {
    const child = spawn('unshare', ['--mount', '--propagation', 'private', ...flags, 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    rig.onClose('process', () => child.kill('SIGKILL'));
    const [line] = await once(child.stdout, 'data');
    return Number(String(line));
  }
  const activeDevice = async (lxcfs: LxcfsService): Promise<string | undefined> => {
    const { path } = await lxcfs.instance('active');
    return readMountinfo().find(({ mountPoint }) => mountPoint === path)?.device;
  };

  it('leaves one mount where several lie on one another, in user namespaces too', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const target = rig.path('meminfo');
    writeFileSync(target, '');
    const bind = `mount --bind ${lxcfs.source}/proc/meminfo ${target}`;
    const script = `${bind} && mount -o remount,bind,ro ${target} && ${bind} && ${bind} && echo $$ && exec sleep 1000`;
    await lxcfs.stop();
    const pids = [await sandbox(script), await sandbox(script, '--user', '--map-root-user')];
    const layers = (pid: number) => readMountinfo(pid).filter(({ mountPoint }) => mountPoint === target);
    for (const pid of pids) expect(layers(pid)).toHaveLength(3);
    endLxcfs(lxcfs.runDir);
    await lxcfs.start();
    const device = await activeDevice(lxcfs);
    for (const pid of pids) {
      await until(
        'one live mount',
        () =>
          layers(pid)
            .map((mount) => mount.device)
            .join() === device,
      );
    }
    expect((await lxcfs.status())?.unhealed).toEqual([]);
  });

  it('puts one layer on top of what a nested user namespace has locked', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const target = rig.path('meminfo');
    writeFileSync(target, '');
    const pid = await sandbox(
      `mount --bind ${lxcfs.source}/proc/meminfo ${target} && exec unshare --user --map-root-user --mount --propagation unchanged sh -c 'echo $$ && exec sleep 1000'`,
    );
    const layers = () => readMountinfo(pid).filter(({ mountPoint }) => mountPoint === target);
    expect(layers()).toHaveLength(1);
    for (let i = 1; i <= 3; i++) {
      process.kill((await lxcfs.instance('active')).pid, 'SIGKILL');
      await until('it is noticed', async () => (await lxcfs.status())?.restarts === i);
      await lxcfs.healthy();
      const device = await activeDevice(lxcfs);
      await until(
        'one live layer on the locked one',
        () => layers().length === 2 && layers().at(-1)?.device === device,
      );
      expect((await lxcfs.status())?.unhealed).toEqual([]);
    }
  });
});
