import { spawn, spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findHierarchies } from '../src/linux/device-cgroup/hierarchy.ts';
import type { Container } from '../test/system/support/container.ts';
import { Daemon } from '../test/system/support/daemon.ts';
import { devicePod, devicePolicy, deviceState, untilOpens } from '../test/system/support/devices.ts';
import { Rig, until } from '../test/system/support/rig.ts';
import { diskWithPartition, requireRoot, timeUntil } from './node/rig.ts';
import { median } from './webhook/load.ts';

/**
 * From `addpart`, told to a shell that is running, until the partition can be opened raw in 1, 10 and 100 running containers that mount its
 * class, on each version of cgroups that is here; and from `delpart` until all has been taken back. The node appears in the containers after
 * all of them have been given access: when it is there, so is that, which is looked up.
 */
const ROUNDS = 15;
requireRoot('addpart', 'runc', 'busybox', 'unshare');

const rig = new Rig();
const shell = spawn('sh', [], { stdio: ['pipe', 'ignore', 'inherit'] });
try {
  const disk = diskWithPartition(rig, 'RAW');
  const name = basename(disk.partition);
  const daemon = await new Daemon(rig, {
    policy: devicePolicy(rig, `- {name: raw, match: [{devname: [${name}], removable: false}]}`),
  }).start();
  for (const unified of findHierarchies().v1 ? [false, true] : [true]) {
    const containers: Container[] = [];
    for (const count of [1, 10, 100]) {
      while (containers.length < count) containers.push(devicePod(rig, daemon, ['raw'], { unified }));
      await sleep(4000);
      const figures: { usable: number; gone: number }[] = [];
      // The first rounds are for the compiler.
      for (let round = -2; round < ROUNDS; round++) {
        const figure = await plugAndPull(containers, disk, name, round === 0);
        if (round >= 0) figures.push(figure);
      }
      const of = (what: 'usable' | 'gone'): string => median(figures.map((figure) => figure[what])).toFixed(1);
      const title = `cgroup v${unified ? 2 : 1}, ${String(count).padStart(3)} containers`;
      process.stdout.write(`${title}: usable after ${of('usable')} ms, taken back after ${of('gone')} ms\n`);
    }
    for (const container of containers) container.stop();
  }
} finally {
  shell.stdin.end();
  await rig.close();
}

async function plugAndPull(
  containers: readonly Container[],
  { add, remove }: ReturnType<typeof diskWithPartition>,
  name: string,
  isTried: boolean,
): Promise<{ usable: number; gone: number }> {
  const [first, last] = [containers[0] as Container, containers.at(-1) as Container];
  const state = (): string => JSON.stringify([deviceState(first), deviceState(last)]);
  const before = state();
  const node = `/proc/${last.pid}/root/devices/raw/${name}`;
  const plugged = performance.now();
  shell.stdin.write(`${add.join(' ')}\n`);
  const usable = timeUntil(plugged, node);
  if (state() === before) throw new Error('the node is there, and access to it is not');
  if (isTried) for (const container of [first, last]) await untilOpens(container, `raw/${name}`, 'rw');
  await sleep(300);

  const pulled = performance.now();
  await until('it is removed', () => spawnSync(remove[0] as string, remove.slice(1)).status === 0);
  while (state() !== before) await sleep(0.2);
  const gone = performance.now() - pulled;
  await sleep(300);
  return { usable, gone };
}
