import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Random } from '../random.ts';
import { SEED } from '../settings.ts';
import { Faults } from './faults/faults.ts';
import { CLI } from './support/cli-process.ts';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { ownSize } from './support/devices.ts';
import { LoopDisk, ZramDisk } from './support/disks.ts';
import { FakeKubelet } from './support/fake-kubelet.ts';
import { LivePod, liveMounts, livePolicy } from './support/live.ts';
import { mountPointsBelow, Rig, run, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

const SIZE = ownSize(23);
const MEDIA = { 'hotmount.io/media': 'test' };
const STICK = '/hotmount/media/test/STICK';

const isRefusal = ({ reason }: { readonly reason: string }): boolean =>
  ['live_annotations_unreadable', 'annotation_invalid'].includes(reason);

describeSystem('a live pod', ['gcc', 'runc', 'busybox', 'zram'], () => {
  let rig: Rig;
  let kubelet: FakeKubelet;
  let daemon: Daemon;

  beforeEach(async () => {
    rig = new Rig();
    kubelet = new FakeKubelet(rig.path('kubelet'));
    daemon = await new Daemon(rig, { policy: livePolicy(rig, SIZE), kubeletDir: 'kubelet' }).start();
  });
  afterEach(async () => {
    kubelet.close();
    await rig.close();
  });

  const plug = async (): Promise<LoopDisk> => {
    const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'from the disk' } });
    await daemon.mounted(disk.plug());
    return disk;
  };

  it('reads and writes a stick from when it is annotated, until it no longer is', async () => {
    const disk = await plug();
    const live = await LivePod.start(rig, kubelet);
    const { container } = live;
    expect(container.sees('/hotmount/media/test')).toBe(false);

    live.annotate(MEDIA);
    await until('it reads the stick', () => container.sh(`cat ${STICK}/hello`) === 'from the disk');
    container.sh(`echo more > ${STICK}/more`);
    await live.status(daemon, ({ media }) => media.length === 1);
    expect(live.told()).toEqual({ media: ['test'], devices: [], notGiven: [] });

    const holding = container.start(`tail -f ${STICK}/more`);
    await until('it holds the file', () => holding().includes('more'));
    live.annotate({});
    await until('it is gone', () => !container.sees('/hotmount/media/test'));
    const taken = await until('who holds it is named', async () => {
      const [first] = (await daemon.status())?.live?.taken ?? [];
      return first?.holders.length === 1 && first;
    });
    expect(taken).toMatchObject({ pod: 'edge-1/web', class: 'media/test', holders: [{ command: 'tail' }] });
    await until('the log names it', () => daemon.log.includes('it is taken away, and tail'));
    // Nobody else loses it.
    expect(daemon.mountPoints()).toEqual(['media-ro/test/STICK', 'media/test/STICK']);
    disk.pull();
  });

  it('sees sticks come and go in a class that it was given, and their read-only twins', async () => {
    const live = await LivePod.start(rig, kubelet, { 'hotmount.io/media': 'test:ro' });
    const { container } = live;
    await until('it has the class', () => container.sees('/hotmount/media/test'));
    const disk = await plug();
    expect(container.sh(`cat ${STICK}/hello`)).toBe('from the disk');
    await until('the twin', () => {
      try {
        container.sh(`echo x > ${STICK}/x`);
      } catch (error) {
        return String(error).includes('Read-only file system');
      }
      return false;
    });
    disk.pull();
    await until('it is gone', () => !container.sees(STICK));
    expect(container.sees('/hotmount/media/test')).toBe(true);
  });

  it('opens a raw device while it is annotated', async () => {
    const disk = new ZramDisk(rig, { size: SIZE });
    const live = await LivePod.start(rig, kubelet);
    const { container } = live;
    const path = `/hotmount/devices/raw/${disk.name}`;
    const opens = (): boolean => container.sh(`( : < ${path} ) 2>/dev/null && echo yes || echo no`) === 'yes';
    const granted = async () => (await daemon.status())?.devices[0]?.containers.length;
    // As hotmount's own pods do, it sees the directories of all live pods.
    const bystander = new Container(rig, {
      mounts: [{ source: daemon.runDir, target: '/all', propagation: 'rslave', readOnly: true }],
    });
    live.annotate({ 'hotmount.io/devices': 'raw' });
    await until('it opens it', opens);
    expect(await granted()).toBe(1);
    const others = `/all/live/${live.pod.uid}/devices/raw/${disk.name}`;
    expect(bystander.sees(others)).toBe(true);
    expect(() => bystander.sh(`: < ${others}`)).toThrow('Operation not permitted');

    const holding = container.start(`exec 3<${path}; echo open; sleep 1000`);
    await until('it is held open', () => holding().includes('open'));
    live.annotate({});
    await until('it is gone', () => !container.sees('/hotmount/devices/raw'));
    await until('access is taken back', async () => (await granted()) === 0);
    const taken = await until('who holds it is named', async () => (await daemon.status())?.live?.taken[0]);
    expect(taken).toMatchObject({ class: 'devices/raw', pod: 'edge-1/web' });
    expect(taken.holders).not.toEqual([]);
  });

  it('is given nothing that the policy does not give, whoever annotated it, and is told why', async () => {
    const live = await LivePod.start(rig, kubelet, { ...MEDIA, 'hotmount.io/devices': 'raw,nobodys' });
    await until('it has both', () => live.container.sees('/hotmount/devices/raw'));
    daemon.setPolicy(livePolicy(rig, SIZE, 'live: true, devices: [raw]'));
    const status = await live.status(daemon, ({ media }) => media.length === 0);
    expect(status.notGiven.map(({ reason }) => reason)).toEqual(['class_unknown', 'media_not_allowed']);
    expect(live.told()).toMatchObject({ media: [], devices: ['raw'] });
    expect(live.told().notGiven[1]?.message).toContain(
      'hotmount.io/media asks for media class "test", which no policy',
    );
    expect(live.container.sees('/hotmount/media/test')).toBe(false);
    daemon.setPolicy(livePolicy(rig, SIZE, 'media: [test], devices: [raw]'));
    const none = await live.status(daemon, ({ devices }) => devices.length === 0);
    expect(none.notGiven.map(({ reason }) => reason)).toEqual(['live_not_allowed']);
    daemon.setPolicy(livePolicy(rig, SIZE));
    await until('all again', () => live.container.sees('/hotmount/media/test'));
    live.annotate({ ...MEDIA, 'hotmount.io/inject': 'false' });
    await until('gone', () => !live.container.sees('/hotmount/media/test'));
  });

  it('keeps nothing by a mount that a container made of it', async () => {
    const disk = await plug();
    const live = await LivePod.start(rig, kubelet, MEDIA, { privileged: true });
    const { container } = live;
    await until('it has the class', () => container.sees(STICK));
    container.sh('mkdir /tmp/own && mount -o rbind /hotmount/media/test /tmp/own');
    expect(container.sees('/tmp/own/STICK')).toBe(true);
    live.annotate({});
    await until('it is gone', () => container.sh('ls /tmp/own') === '');
    await until('and what it was on', () => !container.sh('cat /proc/self/mountinfo').includes('/tmp/own'));
    expect(daemon.mountPoints()).toEqual(['media-ro/test/STICK', 'media/test/STICK']);
    disk.pull();
  });

  it('is the only one that sees its directory, which goes with it', async () => {
    const live = await LivePod.start(rig, kubelet, MEDIA);
    await until('it has the class', () => live.container.sees('/hotmount/media/test'));
    expect(() => live.container.sh('touch /hotmount/x')).toThrow('Read-only file system');
    expect(readdirSync(`${daemon.runDir}/live`)).toEqual([live.pod.uid]);
    await live.remove();
    await until('it is gone', () => readdirSync(`${daemon.runDir}/live`).length === 0);
    expect(liveMounts(daemon.runDir)).toEqual([]);
  });

  it('whose pod ended while no daemon was there is removed by the next one', async () => {
    const disk = await plug();
    const live = await LivePod.start(rig, kubelet, MEDIA);
    await until('it has the class', () => live.container.sees(STICK));
    await daemon.kill();
    live.container.stop();
    // It is published as long as there is the link.
    unlinkSync(kubelet.target(live.pod, 'hotmount-live'));
    await daemon.start();
    await until('it is gone', () => !existsSync(`${daemon.runDir}/live/${live.pod.uid}`));
    expect(daemon.mountPoints()).toEqual(['media-ro/test/STICK', 'media/test/STICK']);
    disk.pull();
  });

  it('whose pod ended while no daemon was there is cleaned up with the rest', async () => {
    const disk = await plug();
    const live = await LivePod.start(rig, kubelet, MEDIA);
    await until('it has the class', () => live.container.sees(STICK));
    await daemon.stop();
    const args = ['node', '--cleanup', '--run-dir', daemon.runDir, '--kubelet-dir', kubelet.dir];
    const cleanUp = (): string => spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' }).stderr;
    expect(cleanUp()).toContain('pods of this node still have hotmount volumes: edge-1/web');
    live.container.stop();
    unlinkSync(kubelet.target(live.pod, 'hotmount-live'));
    expect(cleanUp()).toContain('removed the run dir');
    expect(mountPointsBelow(daemon.runDir)).toEqual([]);
    disk.unplug();
  });

  it('has in the end what was asked for last, of a thousand changes in a row', async () => {
    await plug();
    const live = await LivePod.start(rig, kubelet);
    for (let i = 0; i < 1000; i++)
      live.annotate(i % 3 === 0 ? {} : { 'hotmount.io/media': i % 3 === 1 ? 'test' : 'test:ro' });
    live.annotate({ ...MEDIA, 'hotmount.io/devices': 'raw' });
    await live.status(daemon, ({ media, devices }) => media[0] === 'test' && devices[0] === 'raw');
    expect(live.container.sh(`cat ${STICK}/hello`)).toBe('from the disk');
    expect(daemon.mountPoints()).toEqual(['media-ro/test/STICK', 'media/test/STICK']);
    const { uid } = live.pod;
    expect(liveMounts(daemon.runDir)).toEqual(
      ['devices/raw', 'media/test', 'media/test/STICK'].map((path) => `${uid}/${path}`),
    );
    live.annotate({});
    await live.status(daemon, ({ media, devices }) => media.length + devices.length === 0);
    expect(live.container.sh('ls -A /hotmount/media /hotmount/devices')).toBe('/hotmount/devices:\n\n/hotmount/media:');
  });

  it(`is what it should be after each daemon that was killed at any moment (${SOAK ? 100 : 3} times)`, async () => {
    await plug();
    const live = await LivePod.start(rig, kubelet);
    const place = `${live.pod.uid}/media/test`;
    const random = new Random(SEED);
    for (let i = 0; i < (SOAK ? 100 : 3); i++) {
      const wanted = i % 2 === 0;
      live.annotate(wanted ? MEDIA : {});
      await sleep(random.below(40));
      await daemon.kill();
      await daemon.start();
      await until('it is as annotated', () => {
        const mounts = liveMounts(daemon.runDir);
        return JSON.stringify(mounts) === JSON.stringify(wanted ? [place, `${place}/STICK`] : []);
      });
      expect(live.container.sees(STICK)).toBe(wanted);
      await until(
        'nothing is left beside it',
        () => live.container.sh('ls -A /hotmount/media') === (wanted ? 'test' : ''),
      );
    }
    expect(daemon.mountPoints()).toEqual(['media-ro/test/STICK', 'media/test/STICK']);
  });

  it('gains nothing by what is in the place of its annotations', async () => {
    const live = await LivePod.start(rig, kubelet, MEDIA);
    const volume = kubelet.annotationsVolume(live.pod);
    const file = `${volume}/annotations`;
    writeFileSync(rig.path('outside'), 'hotmount.io/media="test"\n');
    const hostile: readonly (() => void)[] = [
      () => symlinkSync(rig.path('outside'), file),
      () => symlinkSync('../../../../../../../outside', file),
      () => symlinkSync(`/proc/${process.pid}/root${rig.path('outside')}`, file),
      () => run('mkfifo', file),
      () => mkdirSync(file),
      () => symlinkSync('annotations', file),
      () => writeFileSync(file, `hotmount.io/media="test"\n`.padEnd(4 << 20, 'x')),
      () => writeFileSync(file, 'hotmount.io/media=test\n'),
      () => writeFileSync(file, Buffer.from('hotmount.io/media="te\xffst"\n', 'latin1')),
    ];
    for (const put of hostile) {
      await until('it has the class', () => live.container.sees('/hotmount/media/test'));
      rmSync(file, { recursive: true });
      put();
      const status = await live.status(daemon, ({ notGiven }) => notGiven.some(isRefusal));
      expect(status.media).toEqual([]);
      rmSync(file, { recursive: true });
      symlinkSync('..data/annotations', file);
    }
    await until('it has the class', () => live.container.sees('/hotmount/media/test'));
    // Nor by the directory itself being elsewhere.
    run('umount', volume);
    rmSync(volume, { recursive: true });
    mkdirSync(rig.path('theirs'));
    writeFileSync(rig.path('theirs', 'annotations'), 'hotmount.io/media="test"\n');
    symlinkSync(rig.path('theirs'), volume);
    await live.status(daemon, ({ media }) => media.length === 0);
  });

  it('loses a copy of its own, though no thread can be had for that at first', async () => {
    const faults = new Faults(rig);
    await daemon.stop();
    await new Daemon(rig, { policy: livePolicy(rig, SIZE), kubeletDir: 'kubelet', env: faults.env }).start();
    const live = await LivePod.start(rig, kubelet, MEDIA, { privileged: true });
    const { container } = live;
    await until('it has the class', () => container.sees('/hotmount/media/test'));
    container.sh('mkdir /tmp/own && mount -o rbind /hotmount/media/test /tmp/own');
    faults.arm('pthread_create', 1, 'EAGAIN');
    live.annotate({});
    await until('it is gone', () => !container.sh('cat /proc/self/mountinfo').includes('/tmp/own'));
    expect(faults.hasFired).toBe(true);
  });
});
