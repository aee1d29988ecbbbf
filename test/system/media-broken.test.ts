import { statSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, readText, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a file system with an error on it', ['debugfs', 'sfdisk'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('turns read-only when the kernel meets the error, and status, metrics and log say so', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'BROKEN', files: { broken: 'text', whole: 'text' } });
    run('debugfs', '-w', '-R', 'set_inode_field /broken checksum 0x1234', disk.image);
    const path = await daemon.mounted(disk.plug());
    run('touch', `${path}/whole`);
    expect((await daemon.status())?.mounted[0]).not.toHaveProperty('notes');

    expect(() => statSync(`${path}/broken`)).toThrow();
    expect(() => run('touch', `${path}/whole`)).toThrow('Read-only file system');
    const notes = await until('it is noted', async () => (await daemon.status())?.mounted[0]?.notes);
    expect(notes.map(({ reason }) => reason)).toEqual(['turned_read_only']);
    const metrics = await (await fetch(`http://127.0.0.1:${await daemon.metricsPort()}/metrics`)).text();
    expect(metrics).toMatch(/^hotmount_media_noted{reason="turned_read_only"} 1$/m);
    await daemon.status();
    await daemon.logged(/"reason":"turned_read_only"/);
    expect(daemon.log.split('"reason":"turned_read_only"').length).toBe(2);
  });

  it('is told as dirty when it is mounted, where the kernel has met an error on it before', async () => {
    const disk = new LoopDisk(rig, { label: 'ERRORS' });
    run('debugfs', '-w', '-R', 'set_super_value state 3', disk.image);
    const daemon = await new Daemon(rig).start();
    await daemon.mounted(disk.plug());
    const [note] = (await daemon.status())?.mounted[0]?.notes ?? [];
    expect(note?.reason).toBe('dirty');
    expect(note?.message).toContain('mounting fs with errors');
  });

  it('that is too new for the kernel is mounted read-only where that suffices, and says so', async () => {
    const daemon = await new Daemon(rig).start();
    const readable = new LoopDisk(rig, { label: 'READABLE', files: { file: 'text' } });
    run('debugfs', '-w', '-R', 'feature FEATURE_R30', readable.image);
    const path = await daemon.mounted(readable.plug());
    expect(readText(`${path}/file`)).toBe('text');
    const [mounted] = (await daemon.status())?.mounted ?? [];
    expect(mounted?.options).toContain('ro');
    expect(mounted?.notes?.[0]).toMatchObject({ reason: 'too_new', message: expect.stringContaining('40000000') });

    const unreadable = new LoopDisk(rig, { label: 'UNREADABLE' });
    run('debugfs', '-w', '-R', 'feature FEATURE_I30', unreadable.image);
    unreadable.plug();
    expect(await daemon.leftFor(unreadable.name, 'mount_failed')).toMatch(/^it .*40000000.*newer kernel/);
  });

  it('that is none, but a table without partitions, says so', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { fsType: 'none' });
    run('sh', '-c', `echo 'label: gpt' | sfdisk -q ${disk.image}`);
    disk.plug();
    expect(await daemon.leftFor(disk.name, 'no_partitions')).toContain('(gpt)');
  });
});
