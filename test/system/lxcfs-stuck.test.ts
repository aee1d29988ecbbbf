import { existsSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Installation } from './lxcfs/installation.ts';
import { ReadingContainer } from './lxcfs/reading.ts';
import { LxcfsService, lxcfsProcesses } from './lxcfs/service.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

/** By which of its hundred locks lxcfs keeps the load average of a cgroup (calc_hash in its proc_loadavg.c). */
function bucketOf(cgroup: string): number {
  let hash = 0;
  for (const byte of Buffer.from(cgroup)) {
    hash = ((hash << 4) + byte) >>> 0;
    const high = (hash & 0xf0000000) >>> 0;
    hash = ((hash ^ (high >>> 24)) & ~high) >>> 0;
  }
  return (hash & 0x7fffffff) % 100;
}

/** Names of containers in one bucket. */
function* namesLike(first: string): Generator<string> {
  for (let i = 0; ; i++) {
    const name = `${first}-${i}`;
    if (bucketOf(`/${name}`) === bucketOf(`/${first}`)) yield name;
  }
}

/** ms since the epoch. The readers' clock began then. */
const BOOTED_AT = Date.now() - Number(process.hrtime.bigint()) / 1e6;

describeSystem('lxcfs that has locked itself out for some cgroups', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('is replaced: those who waited read again, and no other reader notices', async () => {
    const installation = new Installation(rig);
    const { arm, forgets } = installation.makeDeadlock();
    const lxcfs = new LxcfsService(rig);
    lxcfs.path = installation.path;
    await lxcfs.start();
    const start = (name: string) =>
      new ReadingContainer(rig, { source: lxcfs.source, name, files: ['/proc/loadavg', '/proc/meminfo'] }).start();
    const reads = (container: ReadingContainer) =>
      until('it reads both', () => [...container.last().values()].filter((value) => value > 0).length === 2);

    const first = `hotmount-lxcfs-${process.pid}-bucket`;
    const names = namesLike(first);
    const [other, gone] = [start(`${first}-other`), start(first)];
    await Promise.all([reads(other), reads(gone)]);
    const before = lxcfsProcesses(lxcfs.runDir);
    arm();
    gone.stop();
    await until('lxcfs forgets it', () => existsSync(forgets));
    const stuck = start(names.next().value as string);

    const [line] = await lxcfs.logged(/.*lxcfs does not answer some readers.*\n/);
    await reads(stuck);
    const reading = stuck.observations().find(({ file }) => file === '/proc/loadavg');
    expect(reading?.at).toBeGreaterThan(Date.parse(JSON.parse(line).time) - BOOTED_AT);
    await until('another has taken its place', () => {
      const now = lxcfsProcesses(lxcfs.runDir);
      return now.length === 2 && now.some((pid) => !before.includes(pid));
    });
    const { restarts, lastGap } = await lxcfs.healthy();
    expect(restarts).toBe(1);
    expect(lastGap?.cause).toBe('hung');
    expect(other.errors()).toEqual({ time: 0, errnos: new Set() });
  });
});
