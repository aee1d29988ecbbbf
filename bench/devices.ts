import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findHierarchies } from '../src/linux/device-cgroup/hierarchy.ts';
import { Container } from '../test/system/support/container.ts';
import { Daemon } from '../test/system/support/daemon.ts';
import { devicePod, devicePolicy, deviceState, untilOpens } from '../test/system/support/devices.ts';
import { Rig, until } from '../test/system/support/rig.ts';
import { diskWithPartition, requireRoot, timeUntil } from './node/rig.ts';
import { median } from './webhook/load.ts';

/**
 * From `addpart`, told to a shell that is running, until the partition can be opened raw in 1, 10 and 100 running containers that mount its
 * class, on each version of cgroups that is here; and from `delpart` until all has been taken back. The node appears in the containers after
 * all of them have been given access: when it is there, so is that, which is looked up. The other sides, with the daemon stopped meanwhile:
 * a script that does the same by hand, one container after the other, where cgroup v1 lets it; and a privileged container with the node's
 * /dev, for which nothing is to be done at all.
 */
const ROUNDS = 15;
requireRoot('addpart', 'runc', 'busybox', 'unshare', 'nsenter');

const rig = new Rig();
const shell = spawn('sh', [], { stdio: ['pipe', 'ignore', 'inherit'] });
let daemon: Daemon;
try {
  const disk = diskWithPartition(rig, 'RAW');
  const name = basename(disk.partition);
  daemon = await new Daemon(rig, {
    policy: devicePolicy(rig, `- {name: raw, match: [{devname: [${name}], removable: false}]}`),
  }).start();
  const dev = { source: '/dev', target: '/host-dev', propagation: 'rslave' } as const;
  const privileged = new Container(rig, { privileged: true, mounts: [dev] });
  await show('privileged, 1 container  ', () => withDaemonStopped(() => besidePrivileged(privileged, disk, name)));
  privileged.stop();
  for (const unified of findHierarchies().v1 ? [false, true] : [true]) {
    const containers: Container[] = [];
    for (const count of [1, 10, 100]) {
      while (containers.length < count) containers.push(devicePod(rig, daemon, ['raw'], { unified }));
      await sleep(4000);
      const title = `cgroup v${unified ? 2 : 1}, ${String(count).padStart(3)} containers`;
      await show(`${title}, hotmount`, (isTried) => plugAndPull(containers, disk, name, isTried));
      if (unified) continue;
      const list = rig.path(`by-hand-${count}`);
      writeFileSync(list, containers.map(({ cgroup, pid }) => `${cgroup} ${pid}\n`).join(''));
      await show(`${title}, by hand `, (isTried) =>
        withDaemonStopped(() => byHand(containers, list, disk, name, isTried)),
      );
    }
    for (const container of containers) container.stop();
  }
} finally {
  shell.stdin.end();
  await rig.close();
}

interface Figure {
  readonly usable: number;
  readonly gone: number;
}

async function show(title: string, turn: (isTried: boolean) => Promise<Figure>): Promise<void> {
  const figures: Figure[] = [];
  // The first rounds are for the compiler.
  for (let round = -2; round < ROUNDS; round++) {
    const figure = await turn(round === 0);
    if (round >= 0) figures.push(figure);
  }
  const of = (what: keyof Figure): string => median(figures.map((figure) => figure[what])).toFixed(1);
  process.stdout.write(`${title}: usable after ${of('usable')} ms, taken back after ${of('gone')} ms\n`);
}

async function withDaemonStopped(turn: () => Promise<Figure>): Promise<Figure> {
  process.kill(daemon.pid, 'SIGSTOP');
  try {
    return await turn();
  } finally {
    process.kill(daemon.pid, 'SIGCONT');
    await sleep(300);
  }
}

type Disk = ReturnType<typeof diskWithPartition>;

async function besidePrivileged({ pid }: Container, { add, remove }: Disk, name: string): Promise<Figure> {
  const node = `/proc/${pid}/root/host-dev/${name}`;
  const plugged = performance.now();
  shell.stdin.write(`${add.join(' ')}\n`);
  const usable = timeUntil(plugged, node);
  await sleep(300);
  const pulled = performance.now();
  shell.stdin.write(`${remove.join(' ')}\n`);
  return { usable, gone: timeUntil(pulled, node, false) };
}

/** @param list of the containers: cgroup and process, one a line */
async function byHand(
  containers: readonly Container[],
  list: string,
  { add, remove }: Disk,
  name: string,
  isTried: boolean,
): Promise<Figure> {
  const last = containers.at(-1) as Container;
  const node = `/proc/${last.pid}/root/dev/${name}`;
  const each = (work: string): string => `while read -r cgroup pid; do ${work}; done <${list}\n`;
  const plugged = performance.now();
  shell.stdin.write(`${add.join(' ')}; IFS=: read -r major minor </sys/class/block/${name}/dev; `);
  shell.stdin.write(
    each(
      `echo "b $major:$minor rw" >"$cgroup/devices.allow"; nsenter -t "$pid" -m mknod /dev/${name} b "$major" "$minor"`,
    ),
  );
  const usable = timeUntil(plugged, node);
  if (isTried) last.sh(`: </dev/${name}`);
  await sleep(300);
  const pulled = performance.now();
  shell.stdin.write(`${remove.join(' ')}; `);
  shell.stdin.write(each(`nsenter -t "$pid" -m rm /dev/${name}; echo "b $major:$minor rw" >"$cgroup/devices.deny"`));
  return { usable, gone: timeUntil(pulled, node, false) };
}

async function plugAndPull(
  containers: readonly Container[],
  { add, remove }: Disk,
  name: string,
  isTried: boolean,
): Promise<Figure> {
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
