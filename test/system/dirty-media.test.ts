import { afterEach, beforeEach, expect, it } from 'vitest';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, readText, run } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('an NTFS that Windows has hibernated', ['ntfs-3g', 'mkntfs', 'unshare'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const classes = (more: string): string => rig.policy(`- {name: test, match: [{label: [HIBERNATED]}]${more}}`);

  function hibernated(): LoopDisk {
    const disk = new LoopDisk(rig, { fsType: 'ntfs', label: 'HIBERNATED', size: 16 });
    // Of an image, umount(8) does not wait until ntfs-3g has written everything, as it does of a disk (fuse_conn_destroy).
    const script = `ntfs-3g "$1" "$2"; echo kept > "$2/kept"; (printf hibr; head -c 8188 /dev/zero) > "$2/hiberfil.sys"; umount "$2"
      while pgrep -f "^ntfs-3g $1 " > /dev/null; do sleep 0.01; done`;
    run('unshare', '-m', '--propagation', 'private', 'sh', '-ec', script, 'sh', disk.image, '/mnt');
    return disk;
  }

  it('is mounted read-only, and the status says so, and what to do', async () => {
    const disk = hibernated();
    const daemon = await new Daemon(rig, { policy: classes('') }).start();
    const path = await daemon.mounted(disk.plug());
    expect(readText(`${path}/kept`)).toBe('kept\n');
    expect(() => run('touch', `${path}/new`)).toThrow('Read-only file system');
    const [mounted] = (await daemon.status())?.mounted ?? [];
    expect(mounted?.options).toContain('ro');
    expect(mounted?.notes?.map(({ reason }) => reason)).toEqual(['dirty_read_only']);
    expect(mounted?.notes?.[0]?.message).toContain('fast startup off');
    // It is as it should be: nothing is mounted anew, by the next daemon neither.
    const { since } = mounted ?? {};
    await daemon.stop();
    await daemon.start();
    expect((await daemon.status())?.mounted[0]?.since).toBe(since);
  });

  it('is not mounted where its class has it so', async () => {
    const disk = hibernated();
    const daemon = await new Daemon(rig, { policy: classes(', mount: {ifDirty: fail}') }).start();
    disk.plug();
    expect(await daemon.leftFor(disk.name, 'mount_failed')).toContain('fast startup off');
    expect(daemon.mountPoints()).toEqual([]);
    daemon.setPolicy(classes(''));
    await daemon.mounted(disk.name);
  });
});
