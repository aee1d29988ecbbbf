import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { requestEjection } from '../../src/node/server.ts';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { MediaImage } from './support/media-image.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

/** By the name of the script in test/media. The others take drivers that this machine's kernel may lack: test/lab/media-corpus.test.ts. */
const DISKS = {
  ext4: { repair: ['e2fsck', '-p'], check: ['e2fsck', '-fn'], hasOwners: true },
  ext2: { repair: ['e2fsck', '-p'], check: ['e2fsck', '-fn'], hasOwners: true },
  xfs: { check: ['xfs_repair', '-n'], hasOwners: true },
  btrfs: { check: ['btrfs', 'check', '-q'], hasOwners: true },
  ntfs: { repair: ['ntfsfix', '-d'], check: ['ntfsfix', '-n'], hasOwners: false },
  exfat: { repair: ['fsck.exfat', '-y'], check: ['fsck.exfat', '-n'], hasOwners: false },
} as const;
const PROGRAMS = ['mkfs.btrfs', 'mkfs.xfs', 'ntfs-3g', 'mkntfs', 'mkfs.exfat', 'mount.exfat-fuse', 'runc', 'busybox'];

describeSystem('a disk as people have them', PROGRAMS, () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it.each(Object.entries(DISKS))(
    '%s is written by user 1000, read in a user namespace, pulled, plugged in anew, ejected, and whole',
    async (name, disk) => {
      const label = `C-${name.toUpperCase()}`;
      const classes = `- {name: test, match: [{bus: [loop], label: ["${label}"]}], mount: {owner: {uid: 1000, gid: 1000}}}`;
      const daemon = await new Daemon(rig, { policy: rig.policy(classes) }).start();
      const mounts = [{ source: `${daemon.runDir}/media/test`, target: '/media', propagation: 'rslave' } as const];
      const pod = new Container(rig, { mounts });
      const podOfItsOwnUsers = new Container(rig, { mounts, userNamespace: true });
      const image = new MediaImage(rig, name, { label });
      await daemon.mounted(image.plug());
      await until('its twin is there, too', () => daemon.mountPoints().length === 2);

      pod.shAs(1000, `cd /media/${label} && mkdir mine && echo written > mine/file && sync -f .`);
      expect(podOfItsOwnUsers.shAs(1000, `cat /media/${label}/mine/file`)).toBe('written');
      const write = (): string =>
        podOfItsOwnUsers.shAs(1000, `echo theirs > /media/${label}/theirs && sync -f /media/${label}`);
      // Whoever the owner is, it is nobody in there; a file system without owners is open to all.
      if (disk.hasOwners) expect(write).toThrow('Permission denied');
      else write();

      image.pull();
      await daemon.leftFor(image.name, 'no_medium');
      expect(pod.sees(`/media/${label}`)).toBe(false);
      image.pushBack();
      await daemon.mounted(image.name);
      expect(pod.shAs(1000, `cat /media/${label}/mine/file`)).toBe('written');
      expect(podOfItsOwnUsers.sees(`/media/${label}/theirs`)).toBe(!disk.hasOwners);
      expect((await requestEjection(daemon.runDir, image.name))?.disks).toEqual([{ disk: image.name }]);
      image.unplug();
      // A mark that it was pulled is taken away; there is nothing else to mend.
      if ('repair' in disk) expect([0, 1]).toContain(fsck(disk.repair, image.image));
      expect(fsck(disk.check, image.image)).toBe(0);
    },
  );
});

/** Its exit code: 0 where all was well, 1 where something was mended. */
const fsck = ([program = '', ...args]: readonly string[], image: string): number | null =>
  spawnSync(program, [...args, image]).status;
