import { randomUUID } from 'node:crypto';
import { existsSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Faults } from './faults/faults.ts';
import { CLI } from './support/cli-process.ts';
import { Container, MAPPING } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { FakeKubelet, type FakePod } from './support/fake-kubelet.ts';
import { mappedVolume } from './support/mapped-volume.ts';
import { mountPointsBelow, Rig, run, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

const USER = 1000;
const NEEDS = ['gcc', 'runc', 'busybox', 'mkfs.xfs', 'mkfs.btrfs'];

describeSystem('a disk, in a pod with users of its own', NEEDS, () => {
  let rig: Rig;
  let kubelet: FakeKubelet;
  beforeEach(() => {
    rig = new Rig();
    kubelet = new FakeKubelet(rig.path('kubelet'));
  });
  afterEach(async () => {
    kubelet.close();
    await rig.close();
  });

  const policy = (mount: string): string =>
    rig
      .policy(`- {name: test, match: [{uuid: ["${rig.uuidPrefix}-*"]}], mount: {${mount}}}`)
      .replace('rules: []', 'rules: [{name: edge, namespaces: ["edge-*"], allow: {media: [test]}}]');

  /** A pod as the kubelet sets it up: first its volumes, then the ids of its users, then its container. */
  class UserPod {
    readonly pod: FakePod = { uid: randomUUID(), namespace: 'edge-1', name: 'web', serviceAccount: 'copier' };
    readonly volume = 'hotmount-media-test';

    async publish(more: Readonly<Record<string, string>> = {}): Promise<string> {
      const answer = await kubelet.publish(this.pod, this.volume, { media: 'test', users: 'own', ...more });
      expect(answer).toMatchObject({ code: 'OK' });
      return readlinkSync(kubelet.target(this.pod, this.volume));
    }

    writeMapping(): void {
      const mappings = MAPPING.map(({ containerID: containerId, hostID: hostId, size: length }) => ({
        hostId,
        containerId,
        length,
      }));
      const text = JSON.stringify({ uidMappings: mappings, gidMappings: mappings });
      writeFileSync(`${kubelet.dir}/pods/${this.pod.uid}/userns`, text);
    }

    async start(directory: string): Promise<Container> {
      const source = await mappedVolume(rig, directory);
      const mounts = [{ source, target: '/media', propagation: 'rslave', readOnly: true }] as const;
      return new Container(rig, { userNamespace: true, mounts });
    }

    unpublish = () => kubelet.unpublish(kubelet.target(this.pod, this.volume));
  }

  it.each([
    ['ext4', `owner: {uid: ${USER}, gid: ${USER}}`, USER],
    ['xfs', 'owner: {uid: 0, gid: 0}', 0],
    ...(SOAK ? ([['btrfs', `owner: {uid: ${USER}, gid: ${USER}}`, USER]] as const) : []),
  ] as const)(
    '%s (%s) belongs to the users that it belongs to elsewhere, who write to it; it goes when it is pulled',
    async (fsType, mount, owner) => {
      const daemon = await new Daemon(rig, { policy: policy(mount), kubeletDir: 'kubelet' }).start();
      const pod = new UserPod();
      const source = await pod.publish();
      pod.writeMapping();
      const container = await pod.start(source);
      const plain = new Container(rig, {
        mounts: [{ source: `${daemon.runDir}/media/test`, target: '/media', propagation: 'rslave' }],
      });
      const disk = new LoopDisk(rig, { fsType, label: 'STICK' });
      const path = await daemon.mounted(disk.plug());
      const seen = '/media/STICK';
      await until('the pod sees the disk', () => container.sees(seen));
      expect(container.sh(`stat -c '%u %g' /media ${seen}`)).toBe(`0 0\n${owner} ${owner}`);

      await daemon.kill();
      container.shAs(owner, `mkdir ${seen}/mine; echo mine > ${seen}/mine/file`);
      await daemon.start();
      container.shAs(owner, `echo more >> ${seen}/mine/file`);
      expect(container.sh(`stat -c '%u' ${seen}/mine/file`)).toBe(String(owner));
      expect(plain.sh(`cat ${seen}/mine/file; stat -c '%u' ${seen}/mine/file`)).toBe(`mine\nmore\n${owner}`);
      expect(statSync(`${path}/mine/file`).uid).toBe(owner);

      run('sync', '-f', path);
      disk.pull();
      await daemon.leftFor(disk.name, 'no_medium');
      expect([container.sees(seen), plain.sees(seen), existsSync(`${source}/STICK`)]).toEqual([false, false, false]);
      disk.pushBack();
      await until('it is there again', () => container.sees(`${seen}/mine/file`));
    },
  );

  it('is mapped for its owner and for the pod before Linux 6.15, too', async () => {
    const library = rig.path('old-kernel.so');
    const source = join(import.meta.dirname, 'support/fake-old-kernel.c');
    run('gcc', '-O1', '-shared', '-fPIC', '-DPRELOADED', '-DMISSING=467', '-o', library, source);
    const daemon = await new Daemon(rig, {
      policy: policy(`owner: {uid: ${USER}, gid: ${USER}}`),
      kubeletDir: 'kubelet',
      env: { LD_PRELOAD: library },
    }).start();
    const [pod, other] = [new UserPod(), new UserPod()];
    const sources = [await pod.publish(), await other.publish({ access: 'ro' })] as const;
    for (const one of [pod, other]) one.writeMapping();
    const [container, reader] = [await pod.start(sources[0]), await other.start(sources[1])];
    const disk = new LoopDisk(rig, { label: 'STICK' });
    const path = await daemon.mounted(disk.plug());
    await until('both see the disk', () => [container, reader].every((one) => one.sees('/media/STICK')));
    container.shAs(USER, 'echo mine > /media/STICK/file');
    expect(statSync(`${path}/file`).uid).toBe(USER);
    expect(reader.sh("stat -c '%u' /media/STICK/file")).toBe(String(USER));
    expect(() => reader.shAs(USER, 'touch /media/STICK/file')).toThrow('Read-only file system');
    disk.pull();
    await daemon.leftFor(disk.name, 'no_medium');
    expect(container.sees('/media/STICK')).toBe(false);
  });

  it('is mounted when the owner of its files can be shown, and shown to a pod when its users can', async () => {
    const faults = new Faults(rig);
    const owned = policy(`owner: {uid: ${USER}, gid: ${USER}}`);
    const daemon = await new Daemon(rig, { policy: owned, kubeletDir: 'kubelet', env: faults.env }).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    faults.arm('mount API', 'each', 'ENOMEM');
    const said = await daemon.leftFor(disk.plug(), 'owner_failed');
    expect(said).toMatch(/those of 1000:1000.*ENOMEM.*lacks memory.*tried again/);
    expect(daemon.mountPoints()).toEqual([]);
    faults.disarm();
    const path = await daemon.mounted(disk.name);
    expect(statSync(path).uid).toBe(USER);
    await until('its twin is there', () => daemon.mountPoints().length === 2);

    const pod = new UserPod();
    const source = await pod.publish();
    faults.arm('mount API', 'each', 'EIO');
    pod.writeMapping();
    await daemon.logged(new RegExp(`"disk":"${disk.name}".*"view_failed".*${pod.pod.uid}.*EIO.*see dmesg`));
    expect(await daemon.leftFor(disk.name, 'view_failed')).toContain(pod.pod.uid);
    expect((await daemon.status())?.mounted).toMatchObject([{ disk: disk.name }]);
    faults.disarm();
    await until('the pod has it', () => existsSync(`${source}/STICK/lost+found`));
    const container = await pod.start(source);
    expect(container.sh("stat -c '%u' /media/STICK")).toBe(String(USER));
  });

  it('is there as soon as the kubelet says who its users are, and goes with the pod', async () => {
    const daemon = await new Daemon(rig, {
      policy: policy(`owner: {uid: ${USER}, gid: ${USER}}`),
      kubeletDir: 'kubelet',
    }).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    await daemon.mounted(disk.plug());
    const [pod, other] = [new UserPod(), new UserPod()];
    const source = await pod.publish();
    const otherSource = await other.publish({ access: 'ro' });
    expect(source).toBe(`${daemon.runDir}/users/${pod.pod.uid}/media/test`);
    expect(existsSync(`${source}/STICK`)).toBe(false);
    for (const one of [pod, other]) one.writeMapping();
    await until('both have it', () => [source, otherSource].every((at) => existsSync(`${at}/STICK/lost+found`)));
    const [container, reader] = [await pod.start(source), await other.start(otherSource)];
    container.shAs(USER, `echo mine > /media/STICK/file`);
    expect(reader.shAs(USER, `cat /media/STICK/file`)).toBe('mine');
    expect(() => reader.shAs(USER, `touch /media/STICK/file`)).toThrow('Read-only file system');

    container.stop();
    expect(await pod.unpublish()).toMatchObject({ code: 'OK' });
    await until('its directory is gone', () => !existsSync(`${daemon.runDir}/users/${pod.pod.uid}`));
    expect(reader.sh(`cat /media/STICK/file`)).toBe('mine');

    // What ends while no daemon runs is found by the next one.
    await daemon.kill();
    reader.stop();
    run('rm', kubelet.target(other.pod, other.volume));
    await daemon.start();
    await until('that of the other, too', () => !existsSync(`${daemon.runDir}/users/${other.pod.uid}`));
    expect((await daemon.status())?.mounted.map(({ disk }) => disk)).toEqual([disk.name]);

    const last = new UserPod();
    const lastSource = await last.publish();
    last.writeMapping();
    await until('it has the disk', () => existsSync(`${lastSource}/STICK`));
    await daemon.stop();
    run('rm', kubelet.target(last.pod, last.volume));
    run(process.execPath, CLI, 'node', '--cleanup', '--run-dir', daemon.runDir, '--kubelet-dir', kubelet.dir);
    expect(mountPointsBelow(daemon.runDir)).toEqual([]);
  });
});
