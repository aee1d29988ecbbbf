import { afterEach, beforeEach, expect, it } from 'vitest';
import { Daemon } from './support/daemon.ts';
import { MediaImage } from './support/media-image.ts';
import { Rig, readText, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a disk with an unclean journal', ['mkfs.xfs', 'mkfs.btrfs'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const readOnly = (): string =>
    rig.policy(`- {name: test, match: [{uuid: ["${rig.uuidPrefix}-*"]}], mount: {readOnly: true}}`);

  it.each(['ext4', 'xfs', 'btrfs'])(
    '%s, in a read-only class, can be read, and not one byte of it changes',
    async (fsType) => {
      // Before there is a daemon: it opens new disks exclusively for a moment, and making one takes mounts.
      const disk = new MediaImage(rig, `${fsType}-unclean`);
      const daemon = await new Daemon(rig, { policy: readOnly() }).start();
      const before = disk.hash();
      const path = await daemon.mounted(disk.plug());
      await until('its twin is there, too', () => daemon.mountPoints().length === 2);
      expect(readText(`${path}/kept/file`)).toBe('kept\n');
      const [mounted] = (await daemon.status())?.mounted ?? [];
      expect(mounted?.notes?.map(({ reason }) => reason)).toEqual(['journal_not_replayed']);

      daemon.setPolicy(rig.policy('- {name: test, match: [{label: [none]}]}'));
      await daemon.leftFor(disk.name, 'no_class');
      disk.unplug();
      expect(disk.hash()).toBe(before);
    },
  );

  it.each(['ext4', 'xfs', 'btrfs'])(
    '%s, write-protected, is mounted read-only in a class that writes',
    async (fsType) => {
      // Before there is a daemon: it opens new disks exclusively for a moment, and making one takes mounts.
      const disk = new MediaImage(rig, `${fsType}-unclean`);
      const daemon = await new Daemon(rig).start();
      const path = await daemon.mounted(disk.plug('-r'));
      expect(readText(`${path}/kept/file`)).toBe('kept\n');
    },
  );

  it.each(['ext4', 'xfs', 'btrfs'])(
    '%s, in a class that writes, has everything that its journal had',
    async (fsType) => {
      // Before there is a daemon: it opens new disks exclusively for a moment, and making one takes mounts.
      const disk = new MediaImage(rig, `${fsType}-unclean`);
      const daemon = await new Daemon(rig).start();
      const path = await daemon.mounted(disk.plug());
      expect(readText(`${path}/last-5`)).toBe('5\n');
      expect((await daemon.status())?.mounted[0]).not.toHaveProperty('notes');
    },
  );
});
