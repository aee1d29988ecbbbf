import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readMountinfo } from '../src/linux/mountinfo.ts';
import { ReadingContainer, VIEWS } from '../test/system/lxcfs/reading.ts';
import { LxcfsService, lxcfsProcesses } from '../test/system/lxcfs/service.ts';
import { Rig, run, until } from '../test/system/support/rig.ts';
import { median } from './webhook/load.ts';

/**
 * How long containers do without lxcfs when it is lost: with hotmount, with and without its standby, and by the usual script, which
 * starts lxcfs again and then binds each file with nsenter and mount. Root, runc, lxcfs and gcc. Every container reads its files all the
 * time; times are from the kill until the last of them has read its own limit again.
 */
const SIZES = (process.env['SIZES'] ?? '1,10,50').split(',').map(Number);
const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
/** µs. Fifty readers without a pause would measure the scheduler. */
const PAUSE = 1000;

const now = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;

/** ms from `since` until every container has read its own limit, after the last error it met. */
async function recovery(containers: readonly ReadingContainer[], since: number): Promise<number> {
  const ends: number[] = [];
  for (const container of containers) {
    ends.push(
      await until(
        `${container.id} recovers`,
        () => {
          const seen = container.observations().filter(({ at }) => at >= since);
          const failed = new Set(seen.filter(({ value }) => value < 0).map(({ file }) => file));
          const last = new Map(seen.map((observation) => [observation.file, observation]));
          const own = [...failed].every((file) => {
            const value = last.get(file)?.value ?? -1;
            return file === '/proc/meminfo' ? value === container.memTotal : value > 0;
          });
          return failed.size > 0 && own ? Math.max(...[...last.values()].map(({ at }) => at)) : undefined;
        },
        60,
      ),
    );
  }
  return Math.max(...ends) - since;
}

async function withHotmount(n: number): Promise<{ errors: number[]; all: number[] }> {
  const rig = new Rig();
  try {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = Array.from({ length: n }, () =>
      new ReadingContainer(rig, { source: lxcfs.source, pause: PAUSE }).start(),
    );
    await sleep(1000);
    const errors: number[] = [];
    const all: number[] = [];
    let before = containers.map((container) => container.errors().time);
    for (let i = 0; i < ROUNDS; i++) {
      process.kill((await lxcfs.instance('active')).pid, 'SIGKILL');
      await until('it is noticed', async () => (await lxcfs.status())?.restarts === i + 1);
      await lxcfs.healthy();
      await sleep(500);
      const after = containers.map((container) => container.errors().time);
      errors.push(median(after.map((time, c) => time - (before[c] as number))));
      before = after;
    }
    for (let i = 0; i < ROUNDS; i++) {
      const since = now();
      for (const pid of lxcfsProcesses(lxcfs.runDir)) process.kill(pid, 'SIGKILL');
      all.push(await recovery(containers, since));
      await lxcfs.healthy();
      await sleep(500);
    }
    return { errors, all };
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
        pause: PAUSE,
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
      await sleep(500);
    }
    return all;
  } finally {
    await rig.close();
  }
}

const show = (times: readonly number[]): string =>
  `${median(times).toFixed(1)} ms (${Math.min(...times).toFixed(1)}–${Math.max(...times).toFixed(1)})`;
for (const n of SIZES) {
  const { errors, all } = await withHotmount(n);
  const script = await withScript(n);
  console.log(`N = ${n}, ${VIEWS.length} files each, median of ${ROUNDS} (least–most):`);
  console.log(`  error time of a reader per crash of the active lxcfs, with the standby: ${show(errors)}`);
  console.log(
    `  all lxcfs lost, until the last container reads its limit: hotmount ${show(all)}, script ${show(script)}, ratio ${(median(script) / median(all)).toFixed(1)}`,
  );
}
