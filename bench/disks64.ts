import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../test/system/support/daemon.ts';
import { Rig, run, until } from '../test/system/support/rig.ts';
import { diskWithPartition, requireRoot } from './node/rig.ts';
import { median } from './webhook/load.ts';

/** 64 disks at once until all are mounted, against mounting them by hand one after the other; plugging them in is in both. */
const DISKS = 64;
const ROUNDS = 3;
/** ms */
const SETTLE = 5000;
requireRoot('addpart', 'blkid');

const rig = new Rig();
try {
  const none = rig.policy('- {name: none, match: [{label: [none]}]}');
  const daemon = await new Daemon(rig, { policy: none }).start();
  const disks = Array.from({ length: DISKS }, (_, i) => diskWithPartition(rig, `DISK${i}`));
  const add = disks.map((disk) => disk.add.join(' '));
  const remove = disks.map((disk) => disk.remove.join(' ')).join('; ');
  const floor = rig.path('floor');
  const hand = disks.map(
    (disk, i) =>
      `${add[i]}; blkid -p -o udev ${disk.partition} >/dev/null; mkdir -p ${floor}/${i}; mount -o nosuid,nodev ${disk.partition} ${floor}/${i}`,
  );

  const figures: { ours: number; hand: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    daemon.setPolicy(rig.policy());
    await until('the policy is in force', async () => (await daemon.status())?.policy.mediaClasses.includes('test'));
    // What the other side has done before leaves the daemon work, too.
    await sleep(SETTLE);
    let start = performance.now();
    run('sh', '-c', add.join('; '));
    await until('all are mounted, with their twins', () => daemon.mountPoints().length === 2 * DISKS, 60);
    const ours = performance.now() - start;
    daemon.setPolicy(none);
    await until('all are unmounted', () => daemon.mountPoints().length === 0, 120);
    run('sh', '-c', remove);

    start = performance.now();
    run('sh', '-c', hand.join('; '));
    figures.push({ ours, hand: performance.now() - start });
    run('sh', '-c', disks.map((_, i) => `umount ${floor}/${i}`).join('; '));
    run('sh', '-c', remove);
  }
  const [ours, hand64] = [median(figures.map((figure) => figure.ours)), median(figures.map((figure) => figure.hand))];
  process.stdout.write(
    `${DISKS} disks: hotmount ${ours.toFixed(0)} ms; by hand, one after the other: ${hand64.toFixed(0)} ms; ratio ${(ours / hand64).toFixed(2)}\n`,
  );
} finally {
  await rig.close();
}
