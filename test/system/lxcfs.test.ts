import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ReadingContainer, VIEWS } from './lxcfs/reading.ts';
import { LxcfsService, lxcfsProcesses } from './lxcfs/service.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

const ENOTCONN = 107;
const ECONNABORTED = 103;

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
      const mounts = container.lxcfsMounts();
      expect(mounts.map(({ mountPoint }) => mountPoint).sort()).toEqual([...container.files].sort());
      expect(new Set(mounts.map(({ device }) => device)).size).toBe(1);
      for (const { options } of mounts) {
        expect(options).toEqual([container.readOnly ? 'ro' : 'rw', 'nosuid', 'nodev', 'relatime']);
      }
    }
  }

  /** It has read nothing but its own limit, or an error that a lost lxcfs makes. */
  function expectOnlyTheTruth(container: ReadingContainer): void {
    for (const { file, value } of container.observations()) {
      if (value < 0) expect([ENOTCONN, ECONNABORTED]).toContain(-value);
      else if (file === '/proc/meminfo') expect(value).toBe(container.memTotal);
    }
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
    for (let i = 0; i < kills; i++) {
      process.kill((await lxcfs.instance('active')).pid, i % 4 === 3 ? 'SIGTERM' : 'SIGKILL');
      await noticed(lxcfs, i + 1);
      await sleep((i * 37) % 150);
      await settled(lxcfs, containers);
    }
    for (const container of containers) expectOnlyTheTruth(container);
    expect(containers.map((container) => container.otherMounts())).toEqual(before);
    await until('two instances, no more', () => lxcfsProcesses(lxcfs.runDir).length === 2);
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
      for (const pid of lxcfsProcesses(lxcfs.runDir)) process.kill(pid, 'SIGKILL');
      await noticed(lxcfs, 2 * (i + 1));
      await settled(lxcfs, containers);
    }
    for (const container of containers) expectOnlyTheTruth(container);
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
    for (const container of containers) expectOnlyTheTruth(container);
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
