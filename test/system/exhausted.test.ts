import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { errorCode } from '../../src/linux/errors.ts';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { openRunDir } from '../../src/node/run-dir/run-dir.ts';
import { LxcfsService } from './lxcfs/service.ts';
import { CLI } from './support/cli-process.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

describeSystem('a daemon that runs out of something', ['prlimit'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const classes = (...names: string[]) =>
    rig.policy(names.map((name) => `- {name: ${name}, match: [{uuid: ["${rig.uuidPrefix}-*"]}]}`).join('\n'));

  it('goes on with a full run dir, starts with one, and makes the class directories once there is room', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    disk.plug();
    await daemon.mounted(disk.name);
    const { room, close } = fill(daemon.runDir);

    daemon.setPolicy(classes('test', 'second'));
    const isTold = async () =>
      (await daemon.status())?.daemon.failing?.some((line) => /^the media classes: ENOSPC.*second/.test(line));
    await until('status says so', isTold);
    expect(daemon.mountPoints()).toEqual(['media-ro/test/STICK', 'media/test/STICK']);
    expect(await daemon.stop()).toBe(0);

    await daemon.start();
    await until('status says so again', isTold);
    expect(daemon.mountPoints()).toEqual(['media-ro/test/STICK', 'media/test/STICK']);

    rmSync(room, { recursive: true });
    await until('the class has its directories', () => readdirSync(`${daemon.runDir}/media`).includes('second'));
    await until('nothing fails any more', async () => (await daemon.status())?.daemon.failing === undefined);
    close();
  });

  it('is cleaned up although the run dir is full', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    disk.plug();
    await daemon.mounted(disk.name);
    await daemon.stop();
    fill(daemon.runDir).close();
    const { status, stderr } = spawnSync(process.execPath, [CLI, 'node', '--cleanup', '--run-dir', daemon.runDir], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, expect.stringContaining('removed the run dir')]);
    expect(readMountinfo().filter(({ mountPoint }) => mountPoint.startsWith(daemon.runDir))).toEqual([]);
  });

  it('goes on without descriptors, and does what it could not do once it has some', async () => {
    const daemon = await new Daemon(rig).start();
    const first = new LoopDisk(rig, { label: 'FIRST' });
    first.plug();
    await daemon.mounted(first.name);
    await until('it is idle', async () => (await daemon.status())?.working.length === 0);
    const limit = (count: number) => run('prlimit', '--pid', String(daemon.pid), `--nofile=${count}:`);
    // The children that wait for the next disk give theirs back when it comes: these are not to be enough.
    limit(readdirSync(`/proc/${daemon.pid}/fd`).length >> 1);

    const second = new LoopDisk(rig, { label: 'SECOND' });
    second.plug();
    first.pull();
    run('mount', '-t', 'tmpfs', 'other', mkdirp(rig.path('other')));
    await until('it says so', () => daemon.log.includes('EMFILE'));
    await sleep(500);
    expect(daemon.hasEnded).toBe(false);

    limit(4096);
    await until(
      'the state is right',
      () => daemon.mountPoints().join() === 'media-ro/test/SECOND,media/test/SECOND',
      70,
    );
    await until('nothing fails any more', async () => (await daemon.status())?.daemon.failing === undefined, 70);
    expect(await daemon.stop()).toBe(0);
  }, 180_000);

  const moments = SOAK ? 40 : 6;
  it(`ends at SIGTERM whenever that comes, ${moments} moments of its start`, async () => {
    for (let moment = 1; moment <= moments; moment++) {
      for (const program of [new LxcfsService(rig), new Daemon(rig)]) {
        program.spawn();
        await until('it runs', () => program.hasEnded || program.log.length > 0 || hasHandler(program.pid));
        await sleep((moment / moments) * 1500);
        // null: before it caught signals, or between its two starts.
        expect([0, null]).toContain(await Promise.race([program.stop(), sleep(10_000, 'it has not ended')]));
      }
    }
  }, 600_000);

  it('lxcfs ends where its start fails, with the cause as the last line', async () => {
    const service = new LxcfsService(rig);
    const runDir = openRunDir(service.runDir);
    writeFileSync(`${runDir.work}/.lxcfs`, 'no directory');
    runDir.close();
    service.spawn();
    expect(await service.ended()).toBe(1);
    const lastLine = (): string => service.log.trimEnd().split('\n').at(-1) ?? '';
    await until('the last line says why', () => /^error: EEXIST: .*\.lxcfs/.test(lastLine()));
  });
});

/** Uses up the inodes of a run dir. `room`: what to remove again. */
function fill(path: string): { room: string; close: () => void } {
  const runDir = openRunDir(path);
  const room = `${runDir.work}/filled`;
  try {
    mkdirSync(room);
    for (let i = 0; ; i++) mkdirSync(`${room}/${i}`);
  } catch (error) {
    if (errorCode(error) !== 'ENOSPC') throw error;
  }
  return { room, close: () => runDir.close() };
}

function mkdirp(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}

/** Whether the process catches SIGTERM by now. */
function hasHandler(pid: number): boolean {
  const status = run('grep', 'SigCgt', `/proc/${pid}/status`);
  return (BigInt(`0x${status.split(':')[1]?.trim()}`) & (1n << 14n)) !== 0n;
}
