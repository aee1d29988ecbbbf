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
 * such setups use today; and by hand, which is the floor. In changing order, each with a disk of its own. One shell, running all the time, is told
 * what to do: `addpart` alone, or with `blkid` and `mount` after it; that time is in all three.
 */
const ROUNDS = 24;
/** Sticks are plugged in minutes apart: by then udevd has sent its workers home (after 3 s), and nothing of ours is warm. ms. */
const PAUSE = 4000;
requireRoot('addpart', 'blkid', 'runc', 'busybox', 'udevadm', 'unshare');

const rig = new Rig();
const shell = spawn('sh', [], { stdio: ['pipe', 'ignore', 'inherit'] });
try {
  const daemon = await new Daemon(rig).start();
  const mounts = [{ source: `${daemon.runDir}/media/test`, target: '/media', propagation: 'rslave' as const }];
  const container = new Container(rig, { mounts });
  const ours = diskWithPartition(rig, 'OURS');
  const theirs = diskWithPartition(rig, 'THEIRS');
  const byHand = diskWithPartition(rig, 'HAND');
  const udev = await startUdev(theirs.partition);
  const floor = rig.path('floor');
  const hand = `${byHand.add.join(' ')} && blkid -p -o udev ${byHand.partition} >/dev/null && mkdir -p ${floor} && mount -o nosuid,nodev ${byHand.partition} ${floor}`;

  const figures: { ours: number; udev: number; floor: number }[] = [];
  for (let round = 0; round < ROUNDS + 2; round++) {
    const file = `/proc/${container.pid}/root/media/OURS/lost+found`;
    const figure = { ours: 0, udev: 0, floor: 0 };
    const turns = [
      () => (figure.ours = plug(ours.add.join(' '), file)),
      () => (figure.udev = plug(theirs.add.join(' '), `${udev.root}/lost+found`)),
      () => (figure.floor = plug(hand, `${floor}/lost+found`)),
    ];
    // The first one after the pause finds the processors asleep: each is that as often as the others.
    for (let turn = 0; turn < turns.length; turn++) turns[(round + turn) % turns.length]?.();
    // The first rounds are for the caches and the compiler.
    if (round >= 2) figures.push(figure);
    run('umount', floor);
    udev.unmount();
    daemon.setPolicy(rig.policy('- {name: none, match: [{label: [none]}]}'));
    await until('unmounted', () => daemon.mountPoints().length === 0);
    for (const disk of [ours, theirs, byHand])
      await until('removed', () => spawnSync(disk.remove[0] as string, disk.remove.slice(1)).status === 0);
    daemon.setPolicy(rig.policy());
    await until('the policy is back', async () => (await daemon.status())?.policy.mediaClasses.includes('test'));
    // Whoever looks at the disks now, for they have lost their partitions, is to be done with it.
    await sleep(PAUSE);
  }
  const of = (side: 'ours' | 'udev' | 'floor'): string =>
    `${median(figures.map((figure) => figure[side])).toFixed(1)} ms`;
  const ratio = (side: 'udev' | 'floor'): string =>
    median(figures.map((figure) => figure.ours / figure[side])).toFixed(2);
  process.stdout.write(
    `hotmount, in the container: ${of('ours')}; udev rule, on the node: ${of('udev')}; by hand: ${of('floor')}\n`,
  );
  process.stdout.write(
    `hotmount against the udev rule: ${ratio('udev')} (at most 0.8); against by hand: ${ratio('floor')} (at most 1.5)\n`,
  );
} finally {
  shell.stdin.end();
  await rig.close();
}

function plug(command: string, file: string): number {
  const start = performance.now();
  shell.stdin.write(`${command}\n`);
  return timeUntil(start, file);
}

/** systemd-udevd with Debian's rules and this one more, in a mount namespace of its own as systemd runs it. */
async function startUdev(partition: string): Promise<{ root: string; unmount: () => void }> {
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
  return { root, unmount: () => void run('nsenter', '-t', String(child.pid), '-m', 'umount', target) };
}
