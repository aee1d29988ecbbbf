import { statSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a disk whose class has an owner', ['mkfs.xfs', 'mkfs.btrfs', 'runc', 'busybox', 'setpriv'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const owned = (): string =>
    rig.policy(`- {name: test, match: [{uuid: ["${rig.uuidPrefix}-*"]}], mount: {owner: {uid: 1000, gid: 1000}}}`);
  const as = (uid: number, script: string): string =>
    run('setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', 'sh', '-c', script);

  it.each(['ext4', 'xfs', 'btrfs'] as const)(
    '%s is written by that user, in a container too, and on the disk it is root who has written',
    async (fsType) => {
      const daemon = await new Daemon(rig, { policy: owned() }).start();
      const container = new Container(rig, {
        mounts: [{ source: `${daemon.runDir}/media/test`, target: '/media', propagation: 'rslave' }],
      });
      const disk = new LoopDisk(rig, { fsType, label: 'OWNED' });
      const path = await daemon.mounted(disk.plug());
      await until('its twin is there, too', () => daemon.mountPoints().length === 2);
      expect((await daemon.status())?.mounted[0]).not.toHaveProperty('notes');
      as(1000, `mkdir ${path}/mine && echo mine > ${path}/mine/file && touch -d yesterday ${path}/mine/file`);
      expect(() => as(1001, `touch ${path}/other`)).toThrow('Permission denied');
      // Root is not shut out, neither here nor in a container.
      container.sh('echo root > /media/OWNED/root; cat /media/OWNED/mine/file');
      expect(statSync(`${path}/mine/file`).uid).toBe(1000);
      expect(statSync(`${path}/root`).uid).toBe(0);

      daemon.setPolicy(rig.policy());
      const plain = await until('it is mounted as it is', async () => {
        const [mounted] = (await daemon.status())?.mounted ?? [];
        return mounted && statSync(`${mounted.path}/mine/file`, { throwIfNoEntry: false })?.uid === 0
          ? mounted.path
          : '';
      });
      expect([statSync(plain).uid, statSync(`${plain}/root`).uid]).toEqual([0, 1000]);
    },
  );
});

describeSystem('xfs', ['mkfs.xfs'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('cloned to a second disk is mounted beside the first, by a name of its own', async () => {
    const daemon = await new Daemon(rig).start();
    const [first, second] = [0, 1].map(() => new LoopDisk(rig, { fsType: 'xfs', label: 'CLONE' })) as [
      LoopDisk,
      LoopDisk,
    ];
    run('cp', '--sparse=always', first.image, second.image);
    const paths = [await daemon.mounted(first.plug()), await daemon.mounted(second.plug())];
    expect(new Set(paths).size).toBe(2);
  });

  it('plugged in anew is mounted while a container still holds a file of it open', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { fsType: 'xfs', label: 'AGAIN' });
    const path = await daemon.mounted(disk.plug());
    run('sh', '-c', `echo there > ${path}/file; sync -f ${path}`);
    const container = new Container(rig, {
      mounts: [{ source: `${daemon.runDir}/media/test`, target: '/media', propagation: 'rslave' }],
    });
    const holding = container.start('exec 5</media/AGAIN/file; echo open; sleep 100000');
    await until('it prints something', () => holding());
    const copy = new LoopDisk(rig, { fsType: 'none', size: 320 });
    run('cp', '--sparse=always', disk.image, copy.image);
    disk.pull();
    await daemon.leftFor(disk.name, 'no_medium');
    await daemon.mounted(copy.plug());
  });
});
