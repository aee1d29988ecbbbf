import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk, ntfsServer } from './support/disks.ts';
import { isNowhere, Rig, readText, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('file systems', ['mkfs.xfs', 'mkfs.btrfs', 'mksquashfs', 'ntfs-3g', 'mkntfs', 'runc', 'busybox'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it.each([
    ['ext4', 'ext4', true],
    ['xfs', 'xfs', false],
    ['btrfs', 'btrfs', true],
    ['squashfs', 'squashfs', true],
    ['ntfs', 'fuseblk', false],
  ] as const)(
    '%s is mounted, shown read-only a second time, and gone when it is unplugged',
    async (fsType, mountedAs, hasFiles) => {
      const classes = `- {name: test, match: [{bus: [loop], fsType: [${fsType}], label: ["HM-${fsType}"]}, {bus: [loop], fsType: [squashfs], minSize: 9Mi, maxSize: 9Mi}]}`;
      const daemon = await new Daemon(rig, { policy: rig.policy(classes) }).start();
      const size = { ext4: 8, xfs: 320, btrfs: 128, squashfs: 9, ntfs: 16 }[fsType];
      const disk = new LoopDisk(rig, {
        fsType,
        label: `HM-${fsType}`,
        size,
        files: hasFiles ? { hello: 'there' } : {},
      });
      const path = await daemon.mounted(disk.plug());
      const table = (): string[] =>
        readMountinfo()
          .filter(({ mountPoint }) => mountPoint.startsWith(`${daemon.runDir}/media`))
          .map((mount) => `${mount.fsType} ${mount.options.includes('ro') ? 'ro' : 'rw'}`);
      await until('the twin is there', () => table().length === 2);
      expect(table()).toEqual([`${mountedAs} ${fsType === 'squashfs' ? 'ro' : 'rw'}`, `${mountedAs} ro`]);
      if (hasFiles) expect(readText(`${path}/hello`)).toBe('there');

      const device = readMountinfo().find(({ mountPoint }) => mountPoint === path)?.device as string;
      disk.pull();
      await until('it is gone', () => isNowhere(device));
    },
  );

  it('ntfs, whose FUSE program has died, is mounted anew, and running containers read it again', async () => {
    const daemon = await new Daemon(rig, {
      policy: rig.policy('- {name: test, match: [{bus: [loop], fsType: [ntfs], label: [HM-DIES]}]}'),
    }).start();
    const source = `${daemon.runDir}/media/test`;
    const container = new Container(rig, { mounts: [{ source, target: '/media', propagation: 'rslave' }] });
    const disk = new LoopDisk(rig, { fsType: 'ntfs', label: 'HM-DIES', size: 16 });
    await daemon.mounted(disk.plug());
    container.sh('echo kept > /media/HM-DIES/file; sync -f /media/HM-DIES');

    process.kill(ntfsServer(disk), 'SIGKILL');
    // What the twin's mount has set off may have the daemon look just now: then it is mounted anew before anyone has read an error.
    await until('it cannot be read, or can again', () => {
      if (daemon.log.includes('has died')) return true;
      expect(() => container.sh('cat /media/HM-DIES/file')).toThrow('not connected');
      return true;
    });
    // udevd watches disks, and has the kernel say this when what had one open for writing closes it.
    writeFileSync(`/sys/block/${disk.name}/uevent`, 'change');
    await until('it can be read again', () => container.sh('cat /media/HM-DIES/file') === 'kept');
    await until('twice, not more often', () => daemon.mountPoints().length === 2);
    await daemon.logged(/has died/);
  });

  it('ntfs, whose FUSE program dies again and again, is not mounted without end', async () => {
    const daemon = await new Daemon(rig, {
      policy: rig.policy('- {name: test, match: [{bus: [loop], fsType: [ntfs], label: [HM-CRASHES]}]}'),
    }).start();
    const disk = new LoopDisk(rig, { fsType: 'ntfs', label: 'HM-CRASHES', size: 16 });
    await daemon.mounted(disk.plug());
    let killed = 0;
    for (const death of [1, 2]) {
      // One that is killed while it mounts has never served: that is a mount that failed. And ntfs-3g forks when it has mounted: what ran before
      // and after the twin was seen is the child that serves.
      killed = await until('it is served, and its twin is there', () => {
        const server = ntfsServer(disk);
        const isServing = server !== killed && daemon.mountPoints().length === 2 && ntfsServer(disk) === server;
        return isServing ? server : undefined;
      });
      process.kill(killed, 'SIGKILL');
      const seen = (): number => daemon.log.split('has died').length - 1;
      await until('that is seen', () => {
        writeFileSync(`/sys/block/${disk.name}/uevent`, 'change');
        return seen() >= death;
      });
    }
    // After the first time it was mounted again at once; now it waits, and is mounted by itself when the time has come.
    expect(await daemon.leftFor(disk.name, 'server_crashes')).toContain('2 times');
    expect(daemon.mountPoints()).toEqual([]);
    await daemon.mounted(disk.name);
  });
});
