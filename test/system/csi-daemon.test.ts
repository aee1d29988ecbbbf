import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Faults } from './faults/faults.ts';
import { CLI } from './support/cli-process.ts';
import { Daemon } from './support/daemon.ts';
import { type Answer, FakeKubelet, type FakePod } from './support/fake-kubelet.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const POLICY = `apiVersion: hotmount.io/v1alpha1
kind: Policy
mediaClasses: [{ name: usb, match: [{ bus: [nobodys] }] }]
rules: [{ name: edge, namespaces: ["edge-*"], allow: { media: [usb] } }]
`;
const podOf = (): FakePod => ({ uid: randomUUID(), namespace: 'edge-1', name: 'web', serviceAccount: 'copier' });

describeSystem('the daemon as a CSI driver', ['gcc'], () => {
  let rig: Rig;
  let kubelet: FakeKubelet;
  let daemon: Daemon;

  beforeEach(async () => {
    rig = new Rig();
    kubelet = new FakeKubelet(rig.path('kubelet'));
    daemon = await new Daemon(rig, { policy: POLICY, kubeletDir: 'kubelet' }).start();
  });
  afterEach(async () => {
    kubelet.close();
    await rig.close();
  });

  it('publishes what is in its run dir, and goes by the policy in force', async () => {
    expect(await kubelet.register()).toEqual({ name: 'hotmount.io', endpoint: kubelet.endpoint });
    const pod = podOf();
    expect(await kubelet.publish(pod, 'data', { media: 'usb' })).toMatchObject({ code: 'OK' });
    expect(readlinkSync(kubelet.target(pod, 'data'))).toBe(`${daemon.runDir}/media/usb`);
    expect((await daemon.status())?.csi).toEqual({ kubeletDir: kubelet.dir, registered: true, volumes: 1 });
    daemon.setPolicy(POLICY.replace('edge-*', 'other'));
    const publishOther = (): Promise<Answer> => kubelet.publish(podOf(), 'data', { media: 'usb' });
    await until('it is refused', async () => (await publishOther()).code === 'PERMISSION_DENIED');
  });

  it('goes on where a connection cannot be accepted', async () => {
    const faults = new Faults(rig);
    await daemon.stop();
    const short = await new Daemon(rig, { policy: POLICY, kubeletDir: 'kubelet', env: faults.env }).start();
    for (const socket of [kubelet.endpoint, kubelet.registrationSocket]) {
      faults.arm('accept4', 1, 'ENOMEM');
      const connection = connect(socket).on('error', () => {});
      await until('none is accepted', () => faults.hasFired);
      connection.destroy();
    }
    expect(await kubelet.publish(podOf(), 'data', { media: 'usb' })).toMatchObject({ code: 'OK' });
    expect(short.hasEnded).toBe(false);
  });

  it('hands its sockets on to the next daemon, which both find, and leaves them there', async () => {
    const pod = podOf();
    const second = new Daemon(rig, { policy: POLICY, kubeletDir: 'kubelet' });
    const inode = lstatSync(kubelet.endpoint).ino;
    second.spawn();
    await until('it stands by', () => second.log.includes('standing by'));
    expect(lstatSync(kubelet.endpoint).ino).toBe(inode);
    await daemon.stop();
    await until('the next one serves', async () => (await second.status())?.daemon.ready);
    expect(lstatSync(kubelet.endpoint).ino).not.toBe(inode);
    expect(await kubelet.publish(pod, 'data', { media: 'usb' })).toMatchObject({ code: 'OK' });
    await second.kill();
    expect(existsSync(kubelet.endpoint) && existsSync(kubelet.registrationSocket)).toBe(true);
    expect(readdirSync(`${kubelet.dir}/plugins/hotmount.io`)).toEqual(['csi.sock']);
    expect(readlinkSync(kubelet.target(pod, 'data'))).toBe(`${daemon.runDir}/media/usb`);
  });

  it('is not cleaned up while pods have volumes, and says which', async () => {
    const pod = podOf();
    await kubelet.publish(pod, 'data', { media: 'usb' });
    await daemon.stop();
    const cleanUp = (): string => {
      const args = ['node', '--cleanup', '--run-dir', daemon.runDir, '--kubelet-dir', kubelet.dir];
      return spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' }).stderr;
    };
    expect(cleanUp()).toContain('pods of this node still have hotmount volumes: edge-1/web; delete them while');
    expect(existsSync(`${daemon.runDir}/media/usb`)).toBe(true);
    await daemon.start();
    await kubelet.unpublish(kubelet.target(pod, 'data'));
    await daemon.stop();
    expect(cleanUp()).toContain('removed the run dir');
    expect([kubelet.endpoint, kubelet.registrationSocket].some(existsSync)).toBe(false);
  });

  it('says so where there is no kubelet', async () => {
    const other = await new Daemon(rig, { runDir: 'other', kubeletDir: 'nowhere' }).start();
    expect((await other.status())?.csi?.problem).toContain(`there is no kubelet directory ${rig.path('nowhere')}`);
    expect(existsSync(rig.path('nowhere'))).toBe(false);
  });
});
