import { closeSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { devicePolicy, deviceStatus, ownSize, sized } from './support/devices.ts';
import { attachLoop, LoopDisk, ZramDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const SIZE = ownSize(33);
/** MiB, of a loop device. */
const LOOP_SIZE = 37;
const RAW = `- {name: raw, match: [{bus: [loop], ${sized(LOOP_SIZE)}}]}`;

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

/** Mounted by the node itself, and not by hotmount. @returns how to end it */
function mountOnNode(...args: string[]): () => void {
  const at = rig.path(`node-${Math.random()}`);
  mkdirSync(at);
  run('mount', ...args, at);
  return () => run('umount', at);
}

const leftRaw = (daemon: Daemon, disk: string, reason: string): Promise<true> =>
  until(`${disk} is given to nobody`, async () => {
    const { devices, devicesLeft } = (await daemon.status()) ?? {};
    const left = devicesLeft?.find((entry) => entry.device === disk && entry.reason === reason);
    if (left && !devices?.some((entry) => entry.device === disk)) return true as const;
    throw new Error(JSON.stringify({ devices, devicesLeft }));
  });

/** Two disks with one btrfs. */
function btrfsPair(size: number): [LoopDisk, LoopDisk] {
  const disks = [0, 1].map(() => new LoopDisk(rig, { fsType: 'none', size })) as [LoopDisk, LoopDisk];
  run('mkfs.btrfs', '-q', '-f', '-U', disks[0].uuid, '-L', 'PAIR', ...disks.map(({ image }) => image));
  for (const disk of disks) disk.plug();
  return disks;
}

describeSystem(
  'a disk that somebody holds without a mount that names it',
  ['mkfs.btrfs', 'zram', 'runc', 'busybox'],
  () => {
    it('as a member of the node’s btrfs, is neither mounted nor given raw, until that is unmounted', async () => {
      const daemon = await new Daemon(rig, { policy: devicePolicy(rig, '') }).start();
      const [first, second] = btrfsPair(130);
      run('btrfs', 'device', 'scan', first.device as string, second.device as string);
      const unmount = mountOnNode(first.device as string);
      const raw = '- {name: raw, match: [{bus: [loop], minSize: 130Mi, maxSize: 130Mi}]}';
      daemon.setPolicy(devicePolicy(rig, raw));
      await leftRaw(daemon, second.name, 'in_use_by_btrfs');
      daemon.setPolicy(rig.policy());
      await daemon.leftFor(second.name, 'btrfs_member');
      expect(daemon.mountPoints()).toEqual([]);
      unmount();
      daemon.setPolicy(devicePolicy(rig, raw));
      for (const { name } of [first, second]) await deviceStatus(daemon, `raw/${name}`);
      run('btrfs', 'device', 'scan', '--forget', first.device as string);
      run('btrfs', 'device', 'scan', '--forget', second.device as string);
    });

    it('as a member of a btrfs of two disks, is mounted with the other one: once, by one name', async () => {
      const daemon = await new Daemon(rig).start();
      const disks = btrfsPair(130);
      const settled = await until('one is mounted, and the other said to belong to it', async () => {
        const { mounted = [], notMounted = [] } = (await daemon.status()) ?? {};
        const names = disks.map(({ name }) => name);
        const ours = mounted.filter(({ disk }) => names.includes(disk));
        const other = notMounted.find(({ disk, reason }) => names.includes(disk) && reason === 'btrfs_member');
        return ours.length === 1 && other ? ours : undefined;
      });
      expect(settled.map(({ path }) => path)).toEqual([`${daemon.runDir}/media/test/PAIR`]);
      await until('its twin is there, too', () => daemon.mountPoints().length === 2);
    });

    it('as the journal of another disk’s ext4, is given to nobody, and is when that is unmounted', async () => {
      const daemon = await new Daemon(rig, { policy: devicePolicy(rig, '') }).start();
      const [journal, data] = [0, 1].map(() => new LoopDisk(rig, { fsType: 'none', size: LOOP_SIZE })) as [
        LoopDisk,
        LoopDisk,
      ];
      for (const disk of [journal, data]) disk.plug();
      run('mkfs.ext4', '-q', '-F', '-O', 'journal_dev', journal.device as string);
      run('mkfs.ext4', '-q', '-F', '-J', `device=${journal.device}`, data.device as string);
      const unmount = mountOnNode(data.device as string);
      daemon.setPolicy(devicePolicy(rig, RAW));
      await leftRaw(daemon, journal.name, 'in_use_exclusively');
      unmount();
      await deviceStatus(daemon, `raw/${journal.name}`);
    });

    it('as what a loop device shows, is left to that', async () => {
      const daemon = await new Daemon(rig, { policy: devicePolicy(rig, '') }).start();
      const disk = new ZramDisk(rig, { size: SIZE });
      const loop = attachLoop(rig, `/dev/${disk.name}`);
      rig.onClose('process', () => run('losetup', '-d', loop));
      daemon.setPolicy(devicePolicy(rig, `- {name: raw, match: [{bus: [zram], ${sized(SIZE)}}]}`));
      await leftRaw(daemon, disk.name, 'in_use_by_loop_device');
      daemon.setPolicy(rig.policy());
      await daemon.leftFor(disk.name, 'backs_loop_device');
    });

    it('as swap, is mounted soon after it is none any more', async () => {
      const daemon = await new Daemon(rig).start();
      const disk = new ZramDisk(rig, { size: SIZE });
      await daemon.mounted(disk.name);
      daemon.setPolicy(rig.policy('- {name: test, match: [{label: [none]}]}'));
      await daemon.leftFor(disk.name, 'no_class');
      run('mkswap', `/dev/${disk.name}`);
      run('swapon', `/dev/${disk.name}`);
      rig.onClose('process', () => run('sh', '-c', `swapoff /dev/${disk.name} || true`));
      daemon.setPolicy(rig.policy(`- {name: test, match: [{bus: [zram], ${sized(SIZE)}}]}`));
      await daemon.leftFor(disk.name, 'swap');
      run('swapoff', `/dev/${disk.name}`);
      run('mkfs.ext4', '-q', '-F', '-U', disk.uuid, `/dev/${disk.name}`);
      await daemon.mounted(disk.name);
    });

    it('whose last medium still has open files is mounted when these are closed, for its file system is in memory', async () => {
      const daemon = await new Daemon(rig).start();
      const container = new Container(rig, {
        mounts: [{ source: `${daemon.runDir}/media/test`, target: '/media', propagation: 'rslave' }],
      });
      const disk = new LoopDisk(rig, { label: 'FIRST', files: { hello: 'first' } });
      await daemon.mounted(disk.plug());
      const holding = container.start(
        'exec 5</media/FIRST/hello; echo open; while ! [ -e /tmp/stop ]; do sleep 0.1; done',
      );
      await until('it prints something', () => holding());
      disk.pull();
      await daemon.leftFor(disk.name, 'no_medium');
      // Another daemon knows nothing of what was in it before.
      await daemon.stop();
      disk.pushBack();
      await daemon.start();
      expect(await daemon.leftFor(disk.name, 'held_exclusively')).toContain('still open');
      container.sh('touch /tmp/stop');
      await daemon.mounted(disk.name);
    });
  },
);

/** Has ext4 without checksums ask for a feature that no kernel has, or ask for it no longer. */
function askForUnknown(image: string, isAsked: boolean): void {
  const file = openSync(image, 'r+');
  const feature = Buffer.alloc(4);
  // s_feature_incompat (linux/ext4/ext4.h).
  readSync(file, feature, 0, 4, 1024 + 0x60);
  feature.writeUInt8(isAsked ? 0x40 : 0, 3);
  writeSync(file, feature, 0, 4, 1024 + 0x60);
  closeSync(file);
}

describeSystem('a disk that could not be mounted', [], () => {
  it('is tried again although no event follows', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { features: '^metadata_csum', label: 'LATER' });
    askForUnknown(disk.image, true);
    disk.plug();
    await daemon.leftFor(disk.name, 'mount_failed');
    askForUnknown(disk.image, false);
    run('blockdev', '--flushbufs', disk.device as string);
    await daemon.mounted(disk.name);
  });
});
