import { afterEach, beforeEach, expect, it } from 'vitest';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, readText, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a disk that is plugged in, and then written to without an event', [], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('is mounted when mkfs has ended', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { fsType: 'none' });
    disk.plug();
    await daemon.leftFor(disk.name, 'no_file_system');
    run('mkfs.ext4', '-q', '-F', '-U', disk.uuid, '-L', 'MADE', disk.device as string);
    expect(await daemon.mounted(disk.name)).toMatch(/MADE$/);
  });

  it('is mounted although its writer paused in between', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { fsType: 'none' });
    const other = new LoopDisk(rig, { label: 'COPIED', files: { file: 'text' } });
    disk.plug();
    await daemon.leftFor(disk.name, 'no_file_system');
    const script = `exec 3<> ${disk.device}; printf x >&3; sync ${disk.device}; sleep 1.5; exec 3>&-; cat ${other.image} > ${disk.device}`;
    run('sh', '-c', script);
    const path = await daemon.mounted(disk.name);
    expect(readText(`${path}/file`)).toBe('text');
  });

  it('of another class is mounted when its label is one that a class wants', async () => {
    const classes = `- {name: test, match: [{uuid: ["${rig.uuidPrefix}-*"], label: [WANTED]}]}`;
    const daemon = await new Daemon(rig, { policy: rig.policy(classes) }).start();
    const disk = new LoopDisk(rig, { label: 'OTHER' });
    disk.plug();
    await daemon.leftFor(disk.name, 'no_class');
    run('tune2fs', '-L', 'WANTED', disk.device as string);
    await until('it is mounted', async () =>
      (await daemon.status())?.mounted.some(({ disk: name }) => name === disk.name),
    );
  });
});
