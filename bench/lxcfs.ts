import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { readMountinfo } from '../src/linux/mountinfo.ts';
import { ReadingContainer, VIEWS } from '../test/system/lxcfs/reading.ts';
import { LxcfsService, lxcfsProcesses } from '../test/system/lxcfs/service.ts';
import { Rig, run, until } from '../test/system/support/rig.ts';
import { requireRoot } from './node/rig.ts';
import { median } from './webhook/load.ts';

/**
 * How long containers do without lxcfs when it is lost: with hotmount, with and without its standby, and by the usual script, which
 * starts lxcfs again and then binds each file with nsenter and mount. Root, runc, lxcfs and gcc. Every container has seven files, and
 * reads two of them again and again: its memory, and the one that shows the dead lxcfs once more while that is unmounted. Times are from
 * the kill until the last container has read its own limit again; a reader that happened not to look meanwhile has had no error.
 */
const SIZES = (process.env['SIZES'] ?? '1,10,50').split(',').map(Number);
const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
const READ = [VIEWS[0] as string, '/proc/meminfo'];
/** µs between two rounds of a reader: all of them together keep half a processor busy. Without, the scheduler would be measured. */
const pauseOf = (n: number): number => 1000 * n;

requireRoot('runc', 'lxcfs', 'gcc');

const now = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;

/** ms from `since` until the last container had read its own limit again, once all have been attached. @throws where one has not */
async function recovery(containers: readonly ReadingContainer[], since: number): Promise<number> {
  await sleep(500 + (3 * pauseOf(containers.length)) / 1000);
  const ends = containers.map((container) => {
    const seen = container.observations().filter(({ at }) => at >= since);
    if (
      container.last().get('/proc/meminfo') !== container.memTotal ||
      [...container.last().values()].some((v) => v <= 0)
    )
      throw new Error(`${container.id} does not read its own limit`);
    return Math.max(since, ...seen.map(({ at }) => at));
  });
  return Math.max(...ends) - since;
}

async function withHotmount(n: number): Promise<{ errors: number[]; worst: number[]; all: number[] }> {
  const rig = new Rig();
  try {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = Array.from({ length: n }, () =>
      new ReadingContainer(rig, { source: lxcfs.source, pause: pauseOf(n), read: READ }).start(),
    );
    await sleep(1000);
    const errors: number[] = [];
    const worst: number[] = [];
    const all: number[] = [];
    let before = containers.map((container) => container.errors().time);
    for (let i = 0; i < ROUNDS; i++) {
      process.kill((await lxcfs.instance('active')).pid, 'SIGKILL');
      await until('it is noticed', async () => (await lxcfs.status())?.restarts === i + 1);
      await lxcfs.healthy();
      await sleep(500 + 5 * n);
      const after = containers.map((container) => container.errors().time);
      const times = after.map((time, c) => time - (before[c] as number));
      errors.push(median(times));
      worst.push(Math.max(...times));
      before = after;
    }
    for (let i = 0; i < ROUNDS; i++) {
      const since = now();
      for (const pid of lxcfsProcesses(lxcfs.runDir)) process.kill(pid, 'SIGKILL');
      await until('it is noticed', async () => (await lxcfs.status())?.restarts === ROUNDS + 2 * (i + 1));
      await until('all are attached', async () => (await lxcfs.status())?.settled);
      all.push(await recovery(containers, since));
    }
    return { errors, worst, all };
  } finally {
    await rig.close();
  }
}

/** The usual: lxcfs on a directory that containers have too, and a script that binds its files again. */
async function withScript(n: number): Promise<number[]> {
  const rig = new Rig();
  const directory = rig.path('shared');
  const start = async (): Promise<number> => {
    const child = spawn(
      'lxcfs',
      ['-l', '--enable-cfs', '-p', rig.path('lxcfs.pid'), '-o', 'allow_other', `${directory}/lxcfs`],
      { stdio: 'ignore' },
    );
    rig.onClose('process', () => child.kill('SIGKILL'));
    await until('lxcfs is mounted', () =>
      readMountinfo().some(({ mountPoint }) => mountPoint === `${directory}/lxcfs`),
    );
    return child.pid as number;
  };
  try {
    mkdirSync(directory);
    run('mount', '-t', 'tmpfs', 'tmpfs', directory);
    run('mount', '--make-shared', directory);
    mkdirSync(`${directory}/lxcfs`);
    let pid = await start();
    const containers = Array.from({ length: n }, () =>
      new ReadingContainer(rig, {
        source: `${directory}/lxcfs`,
        pause: pauseOf(n),
        read: READ,
        readOnlyMounts: false,
        shared: directory,
      }).start(),
    );
    await sleep(1000);
    const all: number[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const since = now();
      process.kill(pid, 'SIGKILL');
      run('umount', '-l', `${directory}/lxcfs`);
      pid = await start();
      for (const container of containers) {
        for (const file of VIEWS) {
          execFileSync('nsenter', [
            '-t',
            String(container.pid),
            '-m',
            '--',
            '/busybox',
            'mount',
            '--bind',
            `/shared/lxcfs${file}`,
            file,
          ]);
        }
      }
      all.push(await recovery(containers, since));
    }
    return all;
  } finally {
    await rig.close();
  }
}

const show = (times: readonly number[]): string =>
  `${median(times).toFixed(1)} ms (${Math.min(...times).toFixed(1)}–${Math.max(...times).toFixed(1)})`;
for (const n of SIZES) {
  const { errors, worst, all } = await withHotmount(n);
  const script = await withScript(n);
  console.log(
    `N = ${n}, ${VIEWS.length} files each, median of ${ROUNDS} (least–most), a reader looks every ${pauseOf(n) / 1000} ms; load ${loadavg()[0]?.toFixed(1)}:`,
  );
  console.log(
    `  error time of a reader per crash of the active lxcfs, with the standby: ${show(errors)}; of the one that was worst off: ${show(worst)}`,
  );
  console.log(
    `  all lxcfs lost, until the last container reads its limit: hotmount ${show(all)}, script ${show(script)}, ratio ${(median(script) / median(all)).toFixed(1)}`,
  );
}
