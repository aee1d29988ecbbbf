import { afterEach, beforeEach, expect, it } from 'vitest';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk, Partition, ZramDisk } from './support/disks.ts';
import { mountPointsBelow, Rig, run, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

const HELLO = { files: { hello: 'from the disk' } };

describeSystem('a disk plugged in while a container runs', ['runc', 'busybox', 'zram', 'addpart'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  /** A container with class directories mounted as the webhook has the kubelet mount them. */
  const pod = (daemon: Daemon, classes = ['test'], options = {}): Container =>
    new Container(rig, {
      mounts: classes.map((name) => ({
        source: `${daemon.runDir}/media/${name}`,
        target: `/media/${name}`,
        propagation: 'rslave',
        readOnly: true,
      })),
      ...options,
    });

  it.each([
    ['an unprivileged container', {}],
    ['a container with users of its own', { userNamespace: true }],
  ])('is read in %s, and gone from it when it is unplugged', async (_, options) => {
    const daemon = await new Daemon(rig).start();
    const container = pod(daemon, ['test'], options);
    const disk = new LoopDisk(rig, { label: 'STICK', ...HELLO });

    await daemon.mounted(disk.plug());
    expect(container.sh('cat /media/test/STICK/hello')).toBe('from the disk');

    disk.pull();
    await until('gone from the container', () => !container.sees('/media/test/STICK'));
    expect(daemon.mountPoints()).toEqual([]);
  });

  it('can be written where the class says so, and not through the read-only twin', async () => {
    const daemon = await new Daemon(rig).start();
    const twin = { source: `${daemon.runDir}/media-ro/test`, target: '/ro', propagation: 'rslave' } as const;
    const main = { source: `${daemon.runDir}/media/test`, target: '/rw', propagation: 'rslave' } as const;
    const container = new Container(rig, { mounts: [main, twin] });
    const disk = new LoopDisk(rig, { label: 'STICK', ...HELLO });
    await daemon.mounted(disk.plug());

    container.sh('echo more > /rw/STICK/more');
    expect(container.sh('cat /ro/STICK/more')).toBe('more');
    expect(() => container.sh('echo x > /ro/STICK/x')).toThrow('Read-only file system');
  });

  it('comes and goes as a disk of its own (zram) and as a partition', async () => {
    const daemon = await new Daemon(rig).start();
    const container = pod(daemon);
    const zram = new ZramDisk(rig, { label: 'WHOLE' });
    await daemon.mounted(zram.name);
    expect(container.sees('/media/test/WHOLE/lost+found')).toBe(true);

    const holder = new LoopDisk(rig, { fsType: 'none', size: 16 });
    holder.plug();
    run('mkfs.ext4', '-q', '-F', '-E', 'offset=1048576,nodiscard', '-U', rig.uuid(), '-L', 'PART', holder.image, '8M');
    const partition = new Partition(rig, holder.device as string, 16_384);
    await daemon.mounted(partition.name);
    expect(container.sees('/media/test/PART/lost+found')).toBe(true);
    expect(await daemon.leftFor(holder.name, 'has_partitions')).toContain(partition.name);
  });

  it('is found at the daemon’s start, and stays when the daemon ends', async () => {
    const disk = new LoopDisk(rig, { label: 'STICK', ...HELLO });
    // Made before the disk is plugged in: what was there earlier still is fixed.
    const daemon = await new Daemon(rig).start();
    const container = pod(daemon);
    expect(await daemon.stop()).toBe(0);

    const name = disk.plug();
    await daemon.start();
    await daemon.mounted(name);
    expect(await daemon.stop()).toBe(0);
    expect(container.sh('cat /media/test/STICK/hello')).toBe('from the disk');

    const points = mountPointsBelow(daemon.runDir);
    await daemon.start();
    await daemon.mounted(name);
    expect(mountPointsBelow(daemon.runDir)).toEqual(points);
  });

  it('reaches the containers of its class and no others: two classes, four containers, at once', async () => {
    const classes = ['red', 'blue'].map(
      (name) => `- {name: ${name}, match: [{label: ["${name}*"], uuid: ["${rig.uuidPrefix}-*"]}]}`,
    );
    const daemon = await new Daemon(rig, { policy: rig.policy(classes.join('\n')) }).start();
    const containers = [['red'], ['blue'], ['red', 'blue'], []].map((names) => pod(daemon, names));
    const disks = ['red1', 'red2', 'blue1', 'blue2'].map((label) => new LoopDisk(rig, { label, ...HELLO }));
    for (const name of disks.map((disk) => disk.plug())) await daemon.mounted(name);

    const see = (): string[] =>
      containers.map((container) => container.sh('cd /media 2>/dev/null && echo */*/hello || true'));
    const red = 'red/red1/hello red/red2/hello';
    const blue = 'blue/blue1/hello blue/blue2/hello';
    expect(see()).toEqual([red, blue, `${blue} ${red}`, '']);
    // Two each; on a shared machine, others may have copied them.
    const counts = (await daemon.status())?.mounted.map(({ containers: count }) => count) ?? [];
    expect(counts.map((count) => count >= 2)).toEqual([true, true, true, true]);

    for (const disk of disks) disk.pull();
    await until('all gone', () => daemon.mountPoints().length === 0);
    expect(see()).toEqual(['*/*/hello', '*/*/hello', '*/*/hello', '']);
  });

  const arrivals = SOAK ? 100 : 5;
  it(`never shows an empty directory in its place, in ${arrivals} times that it comes and goes`, async () => {
    const daemon = await new Daemon(rig).start();
    const [writable, readOnly] = ['media', 'media-ro'].map(
      (tree) =>
        new Container(rig, {
          mounts: [{ source: `${daemon.runDir}/${tree}/test`, target: '/media', propagation: 'rslave' }],
        }),
    ) as [Container, Container];
    const disk = new LoopDisk(rig, { label: 'STICK', ...HELLO });
    // Asked again: between two looks it may have gone, and come back.
    const poll = `echo up; seen=0
      while ! [ -e /tmp/stop ]; do
        [ -e /media/STICK ] || continue
        seen=$((seen + 1))
        [ -e /media/STICK/hello ] || { [ -e /media/STICK ] && ! [ -e /media/STICK/hello ] && echo empty; }
      done
      echo looked $seen`;
    const polls = [writable, readOnly].map((container) => container.start(poll));
    for (const output of polls) await until('it looks', () => output());
    disk.plug();
    for (let i = 0; i < arrivals; i++) {
      daemon.setPolicy(rig.policy());
      await daemon.mounted(disk.name);
      await until('its twin is there, too', () => daemon.mountPoints().length === 2);
      // Not pulled: what is still mounted of a pulled one looks empty, too.
      daemon.setPolicy(rig.policy('- {name: test, match: [{label: [none]}]}'));
      await daemon.leftFor(disk.name, 'no_class');
    }
    for (const container of [writable, readOnly]) container.sh('touch /tmp/stop');
    for (const output of polls) {
      await until('it has ended', () => output().includes('looked'));
      expect(output()).toMatch(/^up\nlooked [1-9]\d*\n$/);
    }
  });

  it('can come back at once', async () => {
    const daemon = await new Daemon(rig).start();
    const container = pod(daemon);
    const disk = new LoopDisk(rig, { label: 'STICK', ...HELLO });
    for (let i = 0; i < 5; i++) {
      await daemon.mounted(disk.plug());
      await until('it is there', () => container.sees('/media/test/STICK/hello'));
      disk.pull();
      disk.unplug();
    }
    await until('gone', () => daemon.mountPoints().length === 0);
  });
});
