import { spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk, Partition } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

describeSystem('trouble', ['addpart', 'mkswap'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const optionsAt = (path: string): string[] | undefined => {
    const mount = readMountinfo().find(({ mountPoint }) => mountPoint === path);
    return mount && [...mount.options, ...mount.superOptions];
  };

  it('a damaged file system is reported with what mount said, and mounted when it has been replaced', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    const fd = openSync(disk.image, 'r+');
    // The journal's and the root directory's whereabouts: the superblock itself stays whole.
    writeSync(fd, Buffer.alloc(512 << 10, 0xff), 0, 512 << 10, 4096);
    closeSync(fd);
    disk.plug();
    expect(await daemon.leftFor(disk.name, 'mount_failed')).toMatch(/^it could not be mounted: /);
    expect(daemon.mountPoints()).toEqual([]);
    expect(readdirSync(`${daemon.runDir}/media/test`)).toEqual([]);

    run('mkfs.ext4', '-q', '-F', '-U', rig.uuid(), '-L', 'NEW', disk.device as string);
    writeFileSync(`/sys/block/${disk.name}/uevent`, 'change');
    expect(await daemon.mounted(disk.name)).toBe(`${daemon.runDir}/media/test/NEW`);
  });

  it('ext4 that asks for a panic on errors is mounted read-only on errors', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'PANIC' });
    run('tune2fs', '-e', 'panic', disk.image);
    const path = await daemon.mounted(disk.plug());
    expect(optionsAt(path)).toEqual(expect.arrayContaining(['nosuid', 'nodev', 'errors=remount-ro']));
  });

  it('two disks with one label both appear, and each keeps its name over a restart', async () => {
    const daemon = await new Daemon(rig).start();
    const [first, second] = [0, 1].map(() => new LoopDisk(rig, { label: 'SAME' })) as [LoopDisk, LoopDisk];
    const paths = [await daemon.mounted(first.plug()), await daemon.mounted(second.plug())];
    expect(paths).toEqual(['SAME', `SAME-${second.uuid}`].map((name) => `${daemon.runDir}/media/test/${name}`));
    const before = daemon.mountPoints();
    await daemon.stop();
    await daemon.start();
    expect(daemon.mountPoints()).toEqual(before);
    first.pull();
    await until('the first is gone', () => daemon.mountPoints().length === 2);
    expect(await daemon.mounted(second.name)).toBe(paths[1]);
  });

  it('a disk that is mounted elsewhere is left alone, and taken when it is free', async () => {
    const daemon = await new Daemon(rig, { policy: rig.policy('- {name: other, match: [{label: [none]}]}') }).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    const elsewhere = rig.path('elsewhere');
    mkdirSync(elsewhere);
    run('mount', disk.plug() && (disk.device as string), elsewhere);
    daemon.setPolicy(rig.policy());
    expect(await daemon.leftFor(disk.name, 'mounted_elsewhere')).toContain(elsewhere);
    run('umount', elsewhere);
    await daemon.mounted(disk.name);
  });

  it('a disk that only some container has mounted is left alone', async () => {
    const daemon = await new Daemon(rig, { policy: rig.policy('- {name: other, match: [{label: [none]}]}') }).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    disk.plug();
    const child = spawn('unshare', ['--mount', 'sh', '-c', `mount ${disk.device} /mnt && echo && exec sleep 1000`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    rig.onClose('process', () => child.kill('SIGKILL'));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    daemon.setPolicy(rig.policy());
    expect(await daemon.leftFor(disk.name, 'mounted_elsewhere')).toContain(`process ${child.pid}`);
  });

  it('what holds swap that is not in use is no file system', async () => {
    const policy = rig.policy('- {name: any, match: [{bus: [loop], label: [HMSWAP]}]}');
    const daemon = await new Daemon(rig, { policy }).start();
    const disk = new LoopDisk(rig, { fsType: 'none', size: 32 });
    run('mkswap', '-L', 'HMSWAP', '-U', rig.uuid(), disk.image);
    disk.plug();
    expect(await daemon.leftFor(disk.name, 'not_a_file_system')).toContain('swap');
  });

  it.each([
    ['swaps to', 'swap', (first: string) => run('mkswap', first) && run('swapon', first), 'swapoff'],
    [
      'has mounted',
      'mounted_elsewhere',
      (first: string) => run('mkfs.ext4', '-q', first) || run('mount', '--mkdir', first, rig.path('own')),
      'umount',
    ],
  ])('a partition is left alone while the node %s another of the disk', async (_, reason, use, release) => {
    const disk = new LoopDisk(rig, { fsType: 'none', size: 64 });
    disk.plug();
    const sectors = (30 << 20) / 512;
    const [first, second] = [1, 2].map((n) => new Partition(rig, disk.device as string, sectors, n)) as [
      Partition,
      Partition,
    ];
    const giveBack = (): void => void run(release, `/dev/${first.name}`);
    use(`/dev/${first.name}`);
    rig.onClose('process', () => run('sh', '-c', `${release} /dev/${first.name} 2>/dev/null || true`));
    run('mkfs.ext4', '-q', '-U', rig.uuid(), '-L', 'STICK', `/dev/${second.name}`);

    const policy = rig.policy(`- {name: test, match: [{uuid: ["${rig.uuidPrefix}-*"], removable: false}]}`);
    const daemon = await new Daemon(rig, { policy }).start();
    expect(await daemon.leftFor(second.name, reason)).toContain(first.name);
    giveBack();
    writeFileSync(`/sys/class/block/${second.name}/uevent`, 'change');
    expect(await daemon.mounted(second.name)).toBe(`${daemon.runDir}/media/test/STICK`);
    expect(daemon.mountPoints()).toEqual(['media-ro/test/STICK', 'media/test/STICK']);
  });

  it('a disk pulled at any moment of being mounted leaves nothing, and is mounted when it comes back', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    const nothingLeft = (): Promise<true> =>
      until('nothing is left of it', async () => {
        expect(await daemon.leftFor(disk.name, 'no_medium')).toBe('there is no medium in it');
        expect([daemon.mountPoints(), readdirSync(`${daemon.runDir}/media/test`)]).toEqual([[], []]);
        return true as const;
      });
    disk.plug();
    for (let delay = 0; delay < 40; delay += SOAK ? 0.25 : 4) {
      await sleep(delay);
      disk.pull();
      await nothingLeft();
      disk.pushBack();
    }
    expect(await daemon.mounted(disk.name)).toBe(`${daemon.runDir}/media/test/STICK`);
    disk.pull();
    await nothingLeft();
  });

  it.each([
    ['full', 'ENOSPC', 'full'],
    ['read-only', 'EROFS', 'ro'],
  ])('a run dir that is %s is reported, and the disk mounted when that is over', async (_, code, option) => {
    const daemon = await new Daemon(rig).start();
    const writable = rig.path('writable');
    mkdirSync(writable);
    run('mount', '--bind', daemon.runDir, writable);
    run('mount', '-o', 'remount,bind,rw', writable);
    const filler = `${writable}/filler`;
    mkdirSync(filler);
    if (option === 'ro') run('mount', '-o', 'remount,ro', writable);
    else {
      run('mount', '-o', 'remount,rw,nr_inodes=40', writable);
      expect(() => {
        for (let i = 0; i < 100; i++) writeFileSync(`${filler}/${i}`, '');
      }).toThrow('ENOSPC');
    }
    const disk = new LoopDisk(rig, { label: 'STICK' });
    disk.plug();
    expect(await daemon.leftFor(disk.name, 'run_dir_failed')).toContain(code);
    run('mount', '-o', 'remount,rw', writable);
    run('rm', '-r', filler);
    writeFileSync(`/sys/block/${disk.name}/uevent`, 'change');
    await daemon.mounted(disk.name);
  });
});

describeSystem('a policy that changes', ['runc', 'busybox'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());
  const withClass = (name: string, mount = ''): string =>
    rig.policy(`- {name: ${name}, match: [{uuid: ["${rig.uuidPrefix}-*"]}]${mount}}`);

  it('moves disks between classes, and keeps the directory of a class that goes', async () => {
    const daemon = await new Daemon(rig, { policy: withClass('old') }).start();
    const container = new Container(rig, {
      mounts: [{ source: `${daemon.runDir}/media/old`, target: '/old', propagation: 'rslave' }],
    });
    const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'there' } });
    await daemon.mounted(disk.plug());
    daemon.setPolicy(withClass('new'));
    await until('in the new class', () => daemon.mountPoints().join() === 'media-ro/new/STICK,media/new/STICK');
    expect(container.sh('ls /old')).toBe('');

    daemon.setPolicy(withClass('old'));
    await until('back in the old one', () => daemon.mountPoints().includes('media/old/STICK'));
    expect(container.sh('cat /old/STICK/hello')).toBe('there');
  });

  it('with other options mounts anew, for running containers too', async () => {
    const daemon = await new Daemon(rig, { policy: withClass('test') }).start();
    const container = new Container(rig, {
      mounts: [{ source: `${daemon.runDir}/media/test`, target: '/media', propagation: 'rslave' }],
    });
    const disk = new LoopDisk(rig, { label: 'STICK' });
    await daemon.mounted(disk.plug());
    container.sh('touch /media/STICK/file');
    daemon.setPolicy(withClass('test', ', mount: {readOnly: true, options: [noexec]}'));
    await until('mounted read-only', () =>
      container.sh('grep STICK /proc/self/mountinfo').includes(' ro,nosuid,nodev,noexec'),
    );
    expect(() => container.sh('touch /media/STICK/file')).toThrow('Read-only');
  });

  it('to a broken one changes nothing, and says so; as kubelet swaps it, too', async () => {
    const volume = rig.path('volume');
    for (const [version, text] of [
      ['1', rig.policy()],
      ['2', 'mediaClasses: nonsense'],
    ] as const) {
      mkdirSync(`${volume}/${version}`, { recursive: true });
      writeFileSync(`${volume}/${version}/policy.yaml`, text);
    }
    symlinkSync('1', `${volume}/..data`);
    symlinkSync('..data/policy.yaml', `${volume}/policy.yaml`);
    const daemon = new Daemon(rig);
    run('ln', '-sf', `${volume}/policy.yaml`, daemon.policyFile);
    await daemon.start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    const path = await daemon.mounted(disk.plug());

    symlinkSync('2', `${volume}/..data_tmp`);
    renameSync(`${volume}/..data_tmp`, `${volume}/..data`);
    const status = await until('the problem is known', async () => {
      const found = await daemon.status();
      return found?.policy.problem ? found : undefined;
    });
    expect(status.policy.problem).toContain('mediaClasses');
    expect(status.daemon.ready).toBe(true);
    expect(status.mounted.map((mounted) => mounted.path)).toEqual([path]);
  });
});
