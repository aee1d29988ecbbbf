import { chmodSync, copyFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { Container, type ContainerMount } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { isNowhere, Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a medium that goes while it is in use', ['runc', 'busybox'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const mediaOf = (daemon: Daemon, propagation: ContainerMount['propagation'] = 'rslave'): ContainerMount => ({
    source: `${daemon.runDir}/media/test`,
    target: '/media',
    ...(propagation ? { propagation } : {}),
  });

  /** `major:minor` of the file system mounted there. */
  const deviceAt = (path: string): string =>
    readMountinfo().find(({ mountPoint }) => mountPoint === path)?.device as string;

  const gone = (device: string): Promise<boolean> => until(`no mount table names ${device}`, () => isNowhere(device));

  it('is gone from everywhere, and the report names who reads it and who holds a file open', async () => {
    const daemon = await new Daemon(rig).start();
    const [reader, holder, idler] = [0, 1, 2].map(() => new Container(rig, { mounts: [mediaOf(daemon)] })) as [
      Container,
      Container,
      Container,
    ];
    const disk = new LoopDisk(rig, { label: 'CARD', files: { big: 'x'.repeat(100_000) } });
    const path = await daemon.mounted(disk.plug());
    const device = deviceAt(path);
    const reading = reader.start('while cat /media/CARD/big >/dev/null 2>&1; do :; done; echo ended');
    const holding = holder.start('exec 5>/media/CARD/open; echo open; sleep 100000');
    await until('it prints something', () => holding());

    disk.pull();
    await gone(device);
    await until('it prints something', () => reading());
    for (const container of [reader, holder, idler]) {
      await until('its directory is gone, too', () => container.sh('ls /media') === '');
    }

    const departed = await until('the report', async () => (await daemon.status())?.departed[0]);
    expect(departed).toMatchObject({ name: disk.name, className: 'test', directory: 'CARD' });
    expect(departed.holders.map(({ cgroup, path: held }) => [cgroup, held])).toContainEqual([`/${holder.id}`, '/open']);
    expect(departed.holders.map(({ cgroup }) => cgroup)).not.toContain(`/${idler.id}`);
    await until('the log names it', () => daemon.log.includes(holder.id));

    const next = new LoopDisk(rig, { label: 'NEXT' });
    await daemon.mounted(next.plug());
    expect(reader.sees('/media/NEXT/lost+found')).toBe(true);
  });

  it('is reported as held by a container that has closed the file and still has it mapped', async () => {
    const daemon = await new Daemon(rig).start();
    const container = new Container(rig, { mounts: [mediaOf(daemon)] });
    const disk = new LoopDisk(rig, { label: 'CARD' });
    const path = await daemon.mounted(disk.plug());
    // A program that is run is mapped, and no descriptor of it is open.
    copyFileSync(rig.path('rootfs/bin/busybox'), `${path}/sleep`);
    chmodSync(`${path}/sleep`, 0o755);
    container.start('exec /media/CARD/sleep 100000');
    const programs = 'for exe in /proc/[0-9]*/exe; do readlink $exe; done; true';
    await until('it runs', () => container.sh(programs).includes('/media/CARD/sleep'));

    disk.pull();
    const departed = await until('the report', async () => (await daemon.status())?.departed[0]);
    expect(departed.holders).toMatchObject([
      { cgroup: `/${container.id}`, path: '/sleep', how: 'mapped', command: 'sleep' },
    ]);
    await until('the log names it', () => daemon.log.includes('has /sleep mapped'));
  });

  it('is gone from a container that took a private copy of the mount', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'CARD', files: { hello: 'there' } });
    const path = await daemon.mounted(disk.plug());
    const device = deviceAt(path);
    const container = new Container(rig, { mounts: [mediaOf(daemon, 'private')] });
    expect(container.sh('cat /media/CARD/hello')).toBe('there');

    disk.pull();
    await gone(device);
    expect(container.sees('/media/CARD/hello')).toBe(false);
  });

  it('is gone from a private copy in a container with users of its own, under a name that is no text', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'CARD', files: { hello: 'there' } });
    const device = deviceAt(await daemon.mounted(disk.plug()));
    const container = new Container(rig, {
      mounts: [mediaOf(daemon, 'private')],
      userNamespace: true,
      privileged: true,
    });
    container.sh('d=$(printf \'/tmp/\\377 x\\n\'); mkdir "$d"; mount -o bind /media/CARD "$d"; cat "$d"/hello');

    disk.pull();
    await gone(device);
  });

  it('comes back at once in the same slot, also while a container still holds a file of it open', async () => {
    const daemon = await new Daemon(rig).start();
    const container = new Container(rig, { mounts: [mediaOf(daemon)] });
    const disk = new LoopDisk(rig, { label: 'CARD', files: { hello: 'again' } });
    await daemon.mounted(disk.plug());
    const holding = container.start('exec 5</media/CARD/hello; echo open; sleep 100000');
    await until('it prints something', () => holding());
    for (let i = 0; i < 3; i++) {
      disk.pull();
      await daemon.leftFor(disk.name, 'no_medium');
      disk.pushBack();
      await daemon.mounted(disk.name);
      expect(container.sh('cat /media/CARD/hello')).toBe('again');
    }
  });
});
