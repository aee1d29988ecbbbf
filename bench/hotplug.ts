import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Container } from '../test/system/support/container.ts';
import { Daemon } from '../test/system/support/daemon.ts';
import { Rig, run, until } from '../test/system/support/rig.ts';
import { diskWithPartition, requireRoot, timeUntil } from './node/rig.ts';
import { median } from './webhook/load.ts';

/**
 * From the `add` event of a partition until its file can be read: in a container under hotmount; on the node under the udev rule that
 * such setups use today; and by hand, which is the floor. Each with a disk of its own, in changing order, and while it is measured the
 * others are stopped, so that none takes the processors from another. On a real node udevd goes through its own rules for the disk at the same
 * time: hotmount beside it is the fourth figure. One shell, running all the time, is told what to do: `addpart` alone, or with `blkid` and
 * `mount` after it; that time is in all of them.
 */
const ROUNDS = Number(process.env['ROUNDS'] ?? 15);
/** Sticks are plugged in minutes apart: by then udevd has sent its workers home (after 3 s), and nothing of ours is warm. ms. */
const PAUSE = 4000;
const SIDES = ['ours', 'beside', 'theirs', 'hand'] as const;
type Side = (typeof SIDES)[number];
type Disks = Readonly<Record<Side, ReturnType<typeof diskWithPartition>>>;
requireRoot('addpart', 'blkid', 'runc', 'busybox', 'udevadm', 'unshare');

const rig = new Rig();
const shell = spawn('sh', [], { stdio: ['pipe', 'ignore', 'inherit'] });
try {
  const wanted = rig.policy('- {name: test, match: [{label: [OURS, BESIDE]}]}');
  const daemon = await new Daemon(rig, { policy: wanted }).start();
  const mounts = [{ source: `${daemon.runDir}/media/test`, target: '/media', propagation: 'rslave' as const }];
  const container = new Container(rig, { mounts });
  const media = `/proc/${container.pid}/root/media`;
  const disks = Object.fromEntries(SIDES.map((side) => [side, diskWithPartition(rig, side.toUpperCase())])) as Disks;
  const udev = await startUdev(disks.theirs.partition);
  const floor = rig.path('floor');
  const add = (side: Side): string => disks[side].add.join(' ');
  const { partition } = disks.hand;
  const hand = `${add('hand')} && blkid -p -o udev ${partition} >/dev/null && mkdir -p ${floor} && mount -o nosuid,nodev ${partition} ${floor}`;
  const turns: Readonly<Record<Side, () => Promise<number>>> = {
    ours: () => plug(add('ours'), `${media}/OURS/lost+found`, [udev.pid]),
    beside: () => plug(add('beside'), `${media}/BESIDE/lost+found`, []),
    theirs: () => plug(add('theirs'), `${udev.root}/lost+found`, [daemon.pid]),
    hand: () => plug(hand, `${floor}/lost+found`, [daemon.pid, udev.pid]),
  };

  const figures: Record<Side, number>[] = [];
  for (let round = 0; round < ROUNDS + 1; round++) {
    const figure = { ours: 0, beside: 0, theirs: 0, hand: 0 };
    const order = SIDES.map((_, turn) => SIDES[(round + turn) % SIDES.length] as Side);
    for (const side of order) figure[side] = await turns[side]();
    // The first round is for the caches and the compiler.
    if (round >= 1) figures.push(figure);
    run('umount', floor);
    udev.unmount();
    daemon.setPolicy(rig.policy('- {name: none, match: [{label: [none]}]}'));
    await until('unmounted', () => daemon.mountPoints().length === 0);
    for (const { remove } of Object.values(disks))
      await until('removed', () => spawnSync(remove[0] as string, remove.slice(1)).status === 0);
    daemon.setPolicy(wanted);
    await until('the policy is back', async () => (await daemon.status())?.policy.mediaClasses.includes('test'));
  }
  const of = (side: Side): string => `${median(figures.map((figure) => figure[side])).toFixed(1)} ms`;
  const ratio = (side: Side): string => median(figures.map((figure) => figure.ours / figure[side])).toFixed(2);
  process.stdout.write(
    `hotmount, in the container: ${of('ours')} (${of('beside')} with udevd at work beside it); udev rule, on the node: ${of('theirs')}; by hand: ${of('hand')}\n`,
  );
  process.stdout.write(
    `hotmount against the udev rule: ${ratio('theirs')} (at most 0.88); against by hand: ${ratio('hand')} (at most 1.5)\n`,
  );
} finally {
  shell.stdin.end();
  await rig.close();
}

/** @param stopped ids of the processes that are to keep still meanwhile */
async function plug(command: string, file: string, stopped: readonly number[]): Promise<number> {
  await sleep(PAUSE);
  for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  const start = performance.now();
  shell.stdin.write(`${command}\n`);
  const time = timeUntil(start, file);
  for (const pid of stopped) process.kill(pid, 'SIGCONT');
  return time;
}

/** systemd-udevd with Debian's rules and this one more, in a mount namespace of its own as systemd runs it. */
async function startUdev(partition: string): Promise<{ pid: number; root: string; unmount: () => void }> {
  const target = rig.path('udev');
  const rules = rig.path('rules.d');
  for (const path of [target, rules]) mkdirSync(path);
  const name = partition.replace('/dev/', '');
  const rule = [
    'ACTION=="add"',
    'SUBSYSTEM=="block"',
    `KERNEL=="${name}"`,
    'IMPORT{program}="/sbin/blkid -p -o udev $devnode"',
    `RUN+="/bin/mkdir -p ${target}"`,
    `RUN+="/bin/mount -o nosuid,nodev $devnode ${target}"`,
  ];
  writeFileSync(`${rules}/99-mount.rules`, `${rule.join(', ')}\n`);
  const script = `mkdir -p /etc/udev/rules.d /run/udev
    mount --bind ${rules} /etc/udev/rules.d
    mount -t tmpfs udev /run/udev
    exec /lib/systemd/systemd-udevd`;
  const child = spawn('unshare', ['--mount', 'sh', '-c', script], { stdio: 'ignore' });
  rig.onClose('process', async () => {
    child.kill('SIGKILL');
    await once(child, 'exit').catch(() => {});
  });
  const root = `/proc/${child.pid}/root${target}`;
  await until(
    'udevd listens',
    () => spawnSync('nsenter', ['-t', String(child.pid), '-m', 'udevadm', 'control', '--ping']).status === 0,
  );
  return {
    pid: child.pid as number,
    root,
    unmount: () => void run('nsenter', '-t', String(child.pid), '-m', 'umount', target),
  };
}
