import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { findHierarchies } from '../src/linux/device-cgroup/hierarchy.ts';
import type { Container } from '../test/system/support/container.ts';
import { Daemon } from '../test/system/support/daemon.ts';
import { devicePod, devicePolicy, deviceState, untilOpens } from '../test/system/support/devices.ts';
import { ZramDisk } from '../test/system/support/disks.ts';
import { Rig, until } from '../test/system/support/rig.ts';
import { requireRoot, timeUntil } from './node/rig.ts';
import { median } from './webhook/load.ts';

/**
 * From the event of a raw disk until it can be opened in 1, 10 and 100 running containers that mount its class, on each version of cgroups
 * that is here. The node appears in the containers after all of them have been given access: when it is there, the last of them has it,
 * which is looked up. Then from unplugging until the node has gone and all has been taken back.
 */
const ROUNDS = 12;
const SIZE = 21;
requireRoot('runc', 'busybox', 'unshare');

const rig = new Rig();
try {
  const policy = devicePolicy(rig, `- {name: raw, match: [{bus: [zram], minSize: ${SIZE}Mi, maxSize: ${SIZE}Mi}]}`);
  const daemon = await new Daemon(rig, { policy }).start();
  for (const unified of findHierarchies().v1 ? [false, true] : [true]) {
    const containers: Container[] = [];
    for (const count of [1, 10, 100]) {
      while (containers.length < count) containers.push(devicePod(rig, daemon, ['raw'], { unified }));
      const figures = await measure(containers);
      process.stdout.write(
        `cgroup v${unified ? 2 : 1}, ${String(count).padStart(3)} containers: usable after ${median(figures.map(({ usable }) => usable)).toFixed(1)} ms, gone after ${median(figures.map(({ gone }) => gone)).toFixed(1)} ms\n`,
      );
    }
    for (const container of containers) container.stop();
  }
} finally {
  await rig.close();
}

async function measure(containers: readonly Container[]): Promise<{ usable: number; gone: number }[]> {
  const pids = containers.map(({ pid }) => pid);
  const [first, last] = [containers[0] as Container, containers.at(-1) as Container];
  const figures: { usable: number; gone: number }[] = [];
  for (let round = 0; round < ROUNDS + 2; round++) {
    const before = JSON.stringify(deviceState(last));
    // Without a size it is left alone: what makes it known is the event that follows, as udevd sends one for a new file system.
    const disk = new ZramDisk(rig, { size: SIZE, isAnnounced: false });
    await sleep(200);
    const node = `/proc/${pids.at(-1)}/root/devices/raw/${disk.name}`;
    const start = performance.now();
    writeFileSync(`/sys/block/${disk.name}/uevent`, 'change');
    const usable = timeUntil(start, node);
    if (JSON.stringify(deviceState(last)) === before) throw new Error('the node is there, and access to it is not');
    if (round === 0) for (const container of [first, last]) await untilOpens(container, `raw/${disk.name}`, 'rw');
    const pulled = performance.now();
    await disk.unplugWhenFree();
    await until('all is taken back', () => JSON.stringify(deviceState(last)) === before);
    const gone = performance.now() - pulled;
    // The first rounds are for the compiler.
    if (round >= 2) figures.push({ usable, gone });
    await sleep(200);
  }
  return figures;
}
