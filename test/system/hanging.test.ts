import { mkdirSync, readdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Daemon } from './support/daemon.ts';
import { attachLoop, LoopDisk, ntfsServer } from './support/disks.ts';
import { Rig, readText, run, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

/** A disk behind a FUSE server: when that stops answering, what touches the disk waits, beyond the reach of SIGKILL. */
class HangingDisk {
  readonly device: string;
  readonly name: string;
  readonly #file: string;
  readonly #server: number;

  constructor(rig: Rig, label: string) {
    const outer = new LoopDisk(rig, { fsType: 'ntfs', size: 64 });
    outer.plug();
    const place = rig.path('fuse');
    mkdirSync(place);
    run('ntfs-3g', outer.device as string, place);
    this.#server = Number(run('pgrep', '-f', `^ntfs-3g ${outer.device} `));
    const inner = new LoopDisk(rig, { label, size: 16 });
    this.#file = `${place}/inner.img`;
    run('cp', inner.image, this.#file);
    this.device = attachLoop(rig, this.#file);
    this.name = this.device.replace('/dev/', '');
    rig.onClose('process', () => {
      this.goOn();
      run('losetup', '-d', this.device);
    });
  }

  /** What has been read of it once is in two caches. */
  dropCaches(): void {
    run('dd', `if=${this.#file}`, 'iflag=nocache', 'count=0', 'status=none');
    run('blockdev', '--flushbufs', this.device);
  }

  hang(): void {
    process.kill(this.#server, 'SIGSTOP');
  }

  goOn(): void {
    process.kill(this.#server, 'SIGCONT');
  }
}

describeSystem('a disk that hangs is reported, holds up no other, and not the daemon’s own end', ['ntfs-3g'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());
  const noClass = (): string => rig.policy('- {name: other, match: [{label: [none]}]}');

  it('in its probe', async () => {
    const daemon = await new Daemon(rig, { policy: noClass() }).start();
    const disk = new HangingDisk(rig, 'HANGS');
    await daemon.leftFor(disk.name, 'no_class');
    const other = new LoopDisk(rig, { label: 'GOOD' });
    disk.dropCaches();
    disk.hang();

    daemon.setPolicy(rig.policy());
    await daemon.mounted(other.plug());
    // Whether somebody holds it is asked before what is on it.
    expect(await daemon.leftFor(disk.name, 'device_hangs')).toMatch(/^(open|blkid) did not end/);
    expect(await daemon.stop()).toBe(0);

    await daemon.start();
    await daemon.mounted(other.name);
    disk.goOn();
    await daemon.mounted(disk.name);
  });

  it('in mount', async () => {
    const daemon = await new Daemon(rig, { policy: noClass() }).start();
    const disk = new HangingDisk(rig, 'HANGS');
    await daemon.leftFor(disk.name, 'no_class');
    disk.dropCaches();
    // What blkid looks at is in the cache again, and the journal, in the middle of the disk, is not.
    run('blkid', '-p', disk.device);
    const other = new LoopDisk(rig, { label: 'GOOD' });
    disk.hang();

    daemon.setPolicy(rig.policy());
    await daemon.mounted(other.plug());
    await until('mount is at work', async () => {
      expect((await daemon.status())?.working).toMatchObject([{ disk: disk.name, doing: 'mount' }]);
      return true;
    });
    // mount(8) has a minute and a half.
    if (SOAK) expect(await daemon.leftFor(disk.name, 'device_hangs', 150)).toContain('mount');
    expect(await daemon.stop()).toBe(0);

    // The next daemon is ready for the others all the same, and says what it is at.
    await daemon.start();
    await daemon.mounted(other.name);
    const status = await daemon.status();
    const found = [...(status?.working ?? []), ...(status?.notMounted ?? [])].find((entry) => entry.disk === disk.name);
    expect(found).toMatchObject({ disk: disk.name });
    expect(daemon.mountPoints().join()).not.toContain('HANGS');

    disk.goOn();
    expect(await daemon.mounted(disk.name)).toBe(`${daemon.runDir}/media/test/HANGS`);
    expect(daemon.mountPoints().filter((path) => path.includes('HANGS'))).toHaveLength(2);
  });

  it('in umount', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { fsType: 'ntfs', label: 'HM-HANGS', size: 64 });
    const hangs = '{bus: [loop], label: [HM-HANGS]}';
    daemon.setPolicy(rig.policy(`- {name: test, match: [${hangs}, {uuid: ["${rig.uuidPrefix}-*"]}]}`));
    await daemon.mounted(disk.plug());
    await until('its twin is there, too', () => daemon.mountPoints().length === 2);
    const server = ntfsServer(disk);
    // The kernel waits for the answer to its last request, whatever signals come (fuse_send_destroy).
    rig.onClose('process', () => run('sh', '-c', `kill -CONT ${server} || true`));
    process.kill(server, 'SIGSTOP');

    disk.pull();
    const other = new LoopDisk(rig, { label: 'GOOD' });
    await daemon.mounted(other.plug());
    const left = await until('it is taken away', async () => {
      const found = (await daemon.status())?.notMounted.find((entry) => entry.disk === disk.name);
      return found && ['device_hangs', 'no_medium'].includes(found.reason) ? found : undefined;
    });
    // Where some other process of the machine has copied its mount meanwhile, it is not umount(8) that has to wait.
    if (left.reason === 'device_hangs') expect(left.message).toContain('umount');
    expect(daemon.mountPoints()).toEqual(['media-ro/test/GOOD', 'media/test/GOOD']);
    expect(readdirSync(`${daemon.runDir}/media/test`)).toEqual(['GOOD']);
    expect(await daemon.stop()).toBe(0);

    process.kill(server, 'SIGCONT');
    disk.pushBack();
    await daemon.start();
    expect(await daemon.mounted(disk.name)).toBe(`${daemon.runDir}/media/test/HM-HANGS`);
  });

  it('in sync: then it is detached, and what is written back goes on', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new HangingDisk(rig, 'HANGS');
    const path = await daemon.mounted(disk.name);
    await until('its twin is there, too', () => daemon.mountPoints().length === 2);
    run('sh', '-c', `echo kept > ${path}/file`);
    const other = new LoopDisk(rig, { label: 'GOOD' });
    disk.hang();

    daemon.setPolicy(noClass());
    other.plug();
    await daemon.leftFor(other.name, 'no_class');
    expect(await daemon.leftFor(disk.name, 'device_hangs', 60)).toContain('sync');
    expect(daemon.mountPoints()).toEqual([]);
    expect(await daemon.stop()).toBe(0);

    disk.goOn();
    daemon.setPolicy(rig.policy());
    await daemon.start();
    expect(readText(`${await daemon.mounted(disk.name)}/file`)).toBe('kept\n');
  });
});
