import { randomUUID } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { getAttribute } from '../../src/linux/xattr.ts';
import { type CsiDriver, startCsi } from '../../src/node/csi/driver.ts';
import { type Policy, parsePolicy } from '../../src/policy/index.ts';
import { SOAK } from '../settings.ts';
import { callOn, FakeKubelet, type FakePod, publishRequest } from './support/fake-kubelet.ts';
import { describeSystem } from './support/suite.ts';

const POLICY = `apiVersion: hotmount.io/v1alpha1
kind: Policy
mediaClasses: [{ name: usb, match: [{ bus: [usb] }] }, { name: nobodys, match: [{ bus: [usb] }] }]
deviceClasses: [{ name: serial, match: [{ subsystem: [tty] }] }]
rules:
  - { name: everyone, namespaces: ["*"], allow: { lxcfs: true } }
  - { name: edge, namespaces: ["edge-*"], serviceAccounts: [copier], allow: { media: [usb], devices: [serial] } }
  - { name: labelled, namespaces: ["*"], namespaceLabels: { tier: edge }, allow: { dev: [/host-dev] } }
`;
const podOf = (fields: Partial<FakePod> = {}): FakePod => ({
  uid: randomUUID(),
  namespace: 'edge-1',
  name: 'web',
  serviceAccount: 'copier',
  ...fields,
});

/** The run dir is a plain directory here, with the classes' directories that a daemon would have made. */
describeSystem('the CSI driver', [], () => {
  let dir: string;
  let runDir: string;
  let policy: Policy;
  let log: string;
  let kubelet: FakeKubelet;
  let driver: CsiDriver;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hotmount-csi-'));
    runDir = join(dir, 'run');
    for (const path of ['media/usb', 'media-ro/usb', 'devices/serial']) {
      mkdirSync(join(runDir, path), { recursive: true });
    }
    policy = parsePolicy(POLICY);
    log = '';
    kubelet = new FakeKubelet(join(dir, 'kubelet'));
    driver = await startCsi({
      podTrees: { make() {}, release() {} },
      kubeletDir: kubelet.dir,
      runDir: { path: runDir, work: runDir },
      version: 'test',
      policy: () => policy,
      lxcfs: false,
      log: pino(
        { level: 'debug' },
        {
          write(line: string) {
            log += line;
          },
        },
      ),
      onOutcome: () => {},
      live: { make() {}, release() {} },
    });
  });
  afterEach(() => {
    kubelet.close();
    driver.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it('registers, publishes a class as a link that says whose it is, and unpublishes it', async () => {
    expect(driver.status()).toMatchObject({ registered: false, volumes: 0 });
    expect(await kubelet.register()).toEqual({ name: 'hotmount.io', endpoint: kubelet.endpoint });
    const pod = podOf();
    const target = kubelet.target(pod, 'hotmount-media-usb');
    for (const _ of ['first', 'and after its restart, again']) {
      expect(await kubelet.publish(pod, 'hotmount-media-usb', { media: 'usb' })).toMatchObject({ code: 'OK' });
    }
    expect(readlinkSync(target)).toBe(`${runDir}/media/usb`);
    expect(getAttribute(target, 'trusted.hotmount.pod')).toBe('edge-1/web');
    expect(driver.status()).toEqual({ kubeletDir: kubelet.dir, registered: true, volumes: 1 });
    for (const _ of ['first', 'and again']) expect(await kubelet.unpublish(target)).toMatchObject({ code: 'OK' });
    expect(readdirSync(dirname(target))).toEqual([]);
  });

  it.each([
    [{ media: 'usb', access: 'ro' }, 'media-ro/usb'],
    [{ devices: 'serial' }, 'devices/serial'],
  ])('publishes %j', async (attributes, path) => {
    const pod = podOf();
    expect(await kubelet.publish(pod, 'data', attributes)).toMatchObject({ code: 'OK' });
    expect(readlinkSync(kubelet.target(pod, 'data'))).toBe(`${runDir}/${path}`);
  });

  it("publishes the node's /dev where a rule by labels, which it does not know, might allow it", async () => {
    const pod = podOf({ namespace: 'shop' });
    expect(await kubelet.publish(pod, 'data', { dev: 'true' })).toMatchObject({ code: 'OK' });
    expect(readlinkSync(kubelet.target(pod, 'data'))).toBe('/dev');
  });

  it.each([
    [
      'what no rule allows',
      { namespace: 'shop' },
      { media: 'usb' },
      'PERMISSION_DENIED',
      'volume data asks for media class "usb", which no policy rule allows in namespace shop for service account copier; rule "edge" would, for namespaces edge-* (the policy on this node)',
    ],
    [
      'another service account',
      { serviceAccount: 'default' },
      { devices: 'serial' },
      'PERMISSION_DENIED',
      'rule "edge" would, for service account copier',
    ],
    ['a class that nobody may have', {}, { media: 'nobodys' }, 'PERMISSION_DENIED', 'an admin can allow it'],
    [
      'a class that is not in the policy',
      {},
      { media: 'ubs' },
      'NOT_FOUND',
      'volume data is of the media class "ubs", and the policy has no such class; it has usb',
    ],
    ['another path', {}, { media: '../../etc' }, 'INVALID_ARGUMENT', 'expected { media: CLASS }'],
    [
      'two things at once',
      {},
      { media: 'usb', devices: 'serial' },
      'INVALID_ARGUMENT',
      'its volumeAttributes are none of its',
    ],
    [
      'a writable /dev',
      { namespace: 'shop', writable: true },
      { dev: 'true' },
      'INVALID_ARGUMENT',
      'not readOnly: set csi.readOnly: true',
    ],
    ['nothing', {}, {}, 'INVALID_ARGUMENT', 'its volumeAttributes are none of its'],
    ['lxcfs where there is none', {}, { lxcfs: 'meminfo' }, 'UNAVAILABLE', 'hotmount runs without lxcfs on this node'],
  ])('refuses %s, and says why', async (_, fields, attributes, code, message) => {
    const pod = podOf(fields);
    const answer = await kubelet.publish(pod, 'data', attributes as Record<string, string>);
    expect(answer).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(existsSync(kubelet.target(pod, 'data'))).toBe(false);
    expect(log).toContain(JSON.stringify(answer.message).slice(1, -1));
  });

  it('lets running pods keep what they have when the policy changes, as the kubelet publishes it again', async () => {
    const pod = podOf();
    expect(await kubelet.publish(pod, 'data', { media: 'usb' })).toMatchObject({ code: 'OK' });
    policy = parsePolicy(POLICY.replace('"edge-*"', 'nobodys'));
    expect(await kubelet.publish(pod, 'data', { media: 'usb' })).toMatchObject({ code: 'OK' });
    // Another volume, or another pod's, is another question.
    expect(await kubelet.publish(pod, 'data', { devices: 'serial' })).toMatchObject({ code: 'PERMISSION_DENIED' });
    expect(await kubelet.publish(podOf(), 'data', { media: 'usb' })).toMatchObject({ code: 'PERMISSION_DENIED' });
  });

  it('goes by the policy in force', async () => {
    const pod = podOf({ namespace: 'shop' });
    expect(await kubelet.publish(pod, 'data', { media: 'usb' })).toMatchObject({ code: 'PERMISSION_DENIED' });
    policy = parsePolicy(POLICY.replace('"edge-*"', '"*"'));
    expect(await kubelet.publish(pod, 'data', { media: 'usb' })).toMatchObject({ code: 'OK' });
  });

  it.each([
    ['outside', () => `${join(dir, 'elsewhere')}/mount`],
    ['relative', () => 'pods/x/volumes/kubernetes.io~csi/data/mount'],
    [
      'of another kind of volume',
      (pod: FakePod) => `${kubelet.dir}/pods/${pod.uid}/volumes/kubernetes.io~secret/data/mount`,
    ],
    ['with ..', (pod: FakePod) => `${kubelet.dir}/pods/${pod.uid}/volumes/kubernetes.io~csi/../x/mount`],
    ['with .. as the uid', () => `${kubelet.dir}/pods/../volumes/kubernetes.io~csi/data/mount`],
    ['deeper', (pod: FakePod) => `${kubelet.target(pod, 'data')}/mount`],
    ['with a NUL', (pod: FakePod) => `${kubelet.target(pod, 'data')}\0`],
    ['with another last name', (pod: FakePod) => `${kubelet.target(pod, 'data')}s`],
    ['of another pod', () => kubelet.target({ uid: randomUUID() }, 'data')],
  ])('refuses a target that is %s', async (_, targetFor) => {
    const pod = podOf();
    const target = targetFor(pod);
    mkdirSync(join(dir, 'elsewhere'), { recursive: true });
    const answer = await kubelet.publish(pod, 'data', { media: 'usb' }, target);
    expect(answer).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(readdirSync(join(dir, 'elsewhere'))).toEqual([]);
    expect(driver.status().volumes).toBe(0);
  });

  it('follows no link that is planted on the way, and puts its own in place of what is planted at the end', async () => {
    const pod = podOf();
    const elsewhere = join(dir, 'elsewhere');
    mkdirSync(`${elsewhere}/volumes/kubernetes.io~csi/data`, { recursive: true });
    symlinkSync(elsewhere, `${kubelet.dir}/pods/${pod.uid}`);
    expect(await kubelet.publish(pod, 'data', { media: 'usb' })).toMatchObject({ code: 'INTERNAL' });
    expect(await kubelet.unpublish(kubelet.target(pod, 'data'))).toMatchObject({ code: 'INTERNAL' });
    expect(readdirSync(`${elsewhere}/volumes/kubernetes.io~csi/data`)).toEqual([]);

    const other = podOf();
    const target = kubelet.target(other, 'data');
    writeFileSync(`${elsewhere}/kept`, 'kept');
    symlinkSync(`${elsewhere}/kept`, target);
    expect(await kubelet.publish(other, 'data', { media: 'usb' })).toMatchObject({ code: 'OK' });
    expect(readlinkSync(target)).toBe(`${runDir}/media/usb`);
    expect(readFileSync(`${elsewhere}/kept`, 'utf8')).toBe('kept');
  });

  it.each(['a file', 'a directory', 'a link', 'a link to itself', 'nothing'])('unpublishes %s', async (what) => {
    const target = kubelet.target(podOf(), 'data');
    if (what === 'a file') writeFileSync(target, '');
    if (what === 'a directory') mkdirSync(target);
    if (what === 'a link') symlinkSync(runDir, target);
    if (what === 'a link to itself') symlinkSync('mount', target);
    expect(await kubelet.unpublish(target)).toMatchObject({ code: 'OK' });
    expect(() => lstatSync(target)).toThrow('ENOENT');
  });

  it('answers every other call as unknown, and goes on after frames that are cut off', async () => {
    for (const method of ['/csi.v1.Node/NodeStageVolume', '/csi.v1.Controller/CreateVolume', '/x/y']) {
      expect(await kubelet.call(method, new Uint8Array())).toMatchObject({ code: 'UNIMPLEMENTED' });
    }
    const whole = publishRequest(kubelet.target(podOf(), 'data'), { media: 'usb' });
    for (let length = 0; length < whole.length; length += 7) {
      const answer = await kubelet.call('/csi.v1.Node/NodePublishVolume', whole.slice(0, length));
      expect(answer.code).toMatch(/INTERNAL|INVALID_ARGUMENT/);
    }
    for (const bytes of [
      '',
      'GET / HTTP/1.1\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\xff',
      '\xff'.repeat(70_000),
    ]) {
      const socket = connect(kubelet.endpoint);
      socket.on('error', () => {});
      socket.end(Buffer.from(bytes, 'latin1'), () => socket.destroy());
      await new Promise((resolve) => socket.once('close', resolve));
    }
    const huge = publishRequest(kubelet.target(podOf(), 'data'), { media: 'x'.repeat(1_000_000) });
    expect(await kubelet.call('/csi.v1.Node/NodePublishVolume', huge)).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    expect(await kubelet.publish(podOf(), 'data', { media: 'usb' })).toMatchObject({ code: 'OK' });
  });

  it(`answers ${SOAK ? '10,000' : '1,000'} calls at once`, async () => {
    const pods = Array.from({ length: SOAK ? 1_000 : 100 }, () => podOf());
    const client = kubelet.connect();
    const calls = pods.flatMap((pod) =>
      Array.from({ length: 10 }, (_, i) => {
        const context = {
          media: 'usb',
          'csi.storage.k8s.io/pod.name': pod.name,
          'csi.storage.k8s.io/pod.namespace': pod.namespace,
          'csi.storage.k8s.io/pod.uid': pod.uid,
          'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccount,
          'csi.storage.k8s.io/ephemeral': 'true',
        };
        return publishRequest(kubelet.target(pod, `v-${i}`), context);
      }),
    );
    const answers = await Promise.all(calls.map((bytes) => callOn(client, '/csi.v1.Node/NodePublishVolume', bytes)));
    expect(new Set(answers.map(({ code }) => code))).toEqual(new Set(['OK']));
    expect(driver.status().volumes).toBe(calls.length);
  });
});
