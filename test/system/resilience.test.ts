import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { isNowhere, mountPointsBelow, Rig, readText, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

describeSystem('a daemon under load', ['busybox'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  interface Footprint {
    mounts: string[];
    directories: string[];
    descriptors: number;
    threads: number;
  }
  function footprint(daemon: Daemon): Footprint {
    return {
      mounts: mountPointsBelow(rig.dir),
      directories: readdirSync(daemon.runDir, { recursive: true }).map(String).sort(),
      descriptors: readdirSync(`/proc/${daemon.pid}/fd`).length,
      threads: readdirSync(`/proc/${daemon.pid}/task`).length,
    };
  }

  const cycles = SOAK ? 500 : 25;
  const synthetic = SOAK ? 20_000 : 3000;
  it(`is what it was after ${cycles} disks that came and went and ${synthetic} other events, with a buffer too small for them`, async () => {
    const daemon = await new Daemon(rig, { args: ['--event-buffer', '16384'] }).start();
    const disks = [0, 1, 2].map((i) => new LoopDisk(rig, { label: `STICK${i}` }));
    const cycle = async (disk: LoopDisk): Promise<void> => {
      await daemon.mounted(disk.plug());
      disk.pull();
      disk.unplug();
    };
    // What is made at first need, is made: caches, code, and for a copy of the mount that does not go by itself, the namespaces' worker.
    for (const disk of disks) {
      await daemon.mounted(disk.plug());
      const copy = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', 'echo; exec sleep 1000'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      rig.onClose('process', () => copy.kill('SIGKILL'));
      await once(copy.stdout, 'data');
      const deviceNumber = readText(`/sys/block/${disk.name}/dev`).trim();
      disk.pull();
      disk.unplug();
      await until('that is gone, too', () => isNowhere(deviceNumber));
      copy.kill('SIGKILL');
    }
    await until(
      'nothing is left of them',
      () => !readdirSync(daemon.runDir, { recursive: true }).join().includes('STICK'),
    );
    await until('it is at rest', async () => (await daemon.status())?.working.length === 0);
    const before = footprint(daemon);
    const memory = daemon.rss();

    const noise = (async () => {
      for (let i = 0; i < synthetic; i++) {
        writeFileSync('/sys/block/loop0/uevent', 'change');
        if (i % 500 === 0) await sleep(1);
      }
    })();
    const standstill = async (): Promise<void> => {
      const disk = disks[0] as LoopDisk;
      process.kill(daemon.pid, 'SIGSTOP');
      for (let i = 0; i < 400; i++) writeFileSync('/sys/block/loop0/uevent', 'change');
      // Its event is one of those that find no room any more.
      disk.plug();
      process.kill(daemon.pid, 'SIGCONT');
      await daemon.mounted(disk.name);
      disk.pull();
      disk.unplug();
    };
    for (let i = 0; i < cycles; i++) await cycle(disks[i % disks.length] as LoopDisk);
    await noise;
    await standstill();
    await daemon.logged(/the kernel had to drop events/);

    const name = (disks[0] as LoopDisk).plug();
    await daemon.mounted(name);
    (disks[0] as LoopDisk).pull();
    await until('it is what it was', () => {
      const now = footprint(daemon);
      expect(now).toMatchObject({ mounts: before.mounts, directories: before.directories });
      // Before, there may have been one for a question that was being answered.
      expect(now.descriptors).toBeLessThanOrEqual(before.descriptors);
      expect(now.threads).toBeLessThanOrEqual(before.threads);
      return true;
    });
    expect(daemon.rss()).toBeLessThan(memory + 40_000);
  });

  const kills = SOAK ? 100 : 10;
  it(`is right again after each of ${kills} times it is killed while disks come and go`, async () => {
    const daemon = await new Daemon(rig).start();
    const disks = [0, 1, 2].map((i) => new LoopDisk(rig, { label: `STICK${i}` }));
    let seed = 42;
    const random = (limit: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return seed % limit;
    };
    for (let i = 0; i < kills; i++) {
      const change = disks[random(3)] as LoopDisk;
      if (change.device) {
        change.pull();
        change.unplug();
      } else change.plug();
      await sleep(random(30));
      await daemon.kill();
      await daemon.start();
      const plugged = disks.flatMap((disk, n) => (disk.device ? [`STICK${n}`] : []));
      const expected = ['media', 'media-ro'].flatMap((tree) => plugged.map((name) => `${tree}/test/${name}`)).sort();
      await until('the mounts are right', () => {
        const now = daemon.mountPoints();
        return now.join() === expected.join() ? now : Promise.reject(new Error(`${now} instead of ${expected}`));
      });
      await until(
        'the directories are right',
        () => readdirSync(`${daemon.runDir}/media/test`).join() === plugged.join(),
      );
      expect((await daemon.status())?.mounted).toHaveLength(plugged.length);
    }
  });
});
