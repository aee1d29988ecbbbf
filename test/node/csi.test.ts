import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../../src/contract/json.ts';
import { SOAK } from '../settings.ts';
import { LoopDisk } from '../system/support/disks.ts';
import { describeOnNode } from './describe-on-node.ts';
import { NAMESPACE } from './installation.ts';
import { namespace, pod } from './objects.ts';

/** Enforces `restricted`, and may ask for everything. */
const EDGE = 'edge-csi';
/** May ask for lxcfs alone, and have hostPath volumes. */
const SHOP = 'shop-csi';
const ALL = { 'hotmount.io/lxcfs': 'true', 'hotmount.io/media': 'usb', 'hotmount.io/devices': 'raw' };
/** What `restricted` wants of every pod. */
const MODEST = {
  // Without any, a pod is gone from the API before its volumes are from the node.
  terminationGracePeriodSeconds: 1,
  securityContext: { runAsNonRoot: true, runAsUser: 65_534, seccompProfile: { type: 'RuntimeDefault' } },
};
const POWERLESS = { securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } };
const modestPod = (name: string, annotations: Record<string, string> = ALL): JsonObject =>
  pod(name, annotations, MODEST, POWERLESS);
const byHand = (name: string, source: JsonObject): JsonObject =>
  pod(name, {}, { volumes: [{ name: 'data', ...source }] }, { volumeMounts: [{ name: 'data', mountPath: '/data' }] });
const csi = (volumeAttributes: JsonObject): JsonObject => ({
  csi: { driver: 'hotmount.io', readOnly: true, volumeAttributes },
});
const MESSAGES = 'jsonpath={range .items[*]}{.reason}: {.message}{"\\n"}{end}';
const DENIED =
  'volume data asks for media class "usb", which no policy rule allows in namespace shop-csi for service account default; rule "edge" would, for namespaces edge-*';

describeOnNode('volumes of the CSI driver', (on) => {
  beforeAll(async () => {
    for (const [name, level] of [
      [EDGE, 'restricted'],
      [SHOP, 'privileged'],
    ] as const) {
      await on().node.apply(namespace(name, level));
      await on().node.eventually(() => on().node.kubectl('get', 'serviceaccount', 'default', '-n', name));
    }
  });
  afterAll(async () => {
    await on().hotmount.install();
    await on().node.kubectl('delete', 'namespace', EDGE, SHOP);
  });

  const ready = (name: string, ns = EDGE, timeout = '90s') =>
    on().node.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '-n', ns, `--timeout=${timeout}`);
  const gone = (name: string, ns = EDGE) => on().node.kubectl('delete', 'pod', name, '-n', ns, '--timeout=90s');
  const events = (name: string, ns: string) =>
    on().node.kubectl('get', 'events', '-n', ns, '--field-selector', `involvedObject.name=${name}`, '-o', MESSAGES);
  const limit = (name: string) => on().node.exec(EDGE, name, 'grep', 'MemTotal', '/proc/meminfo');

  test('give all that can be asked for where Pod Security is "restricted", and go without a trace', async () => {
    const { node, rig, hotmount } = on();
    const applied = await node.tryWith('apply', modestPod('all'), '-n', EDGE);
    expect(applied.stderr).toBe('');
    await ready('all');
    expect(await limit('all')).toMatch(/ 262144 kB$/);
    const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'from the disk' } });
    disk.plug();
    expect(await node.eventually(() => node.exec(EDGE, 'all', 'cat', '/media/usb/STICK/hello'))).toBe('from the disk');
    expect(await node.exec(EDGE, 'all', 'ls', '-d', '/dev/hotmount/raw')).toBe('/dev/hotmount/raw');
    expect((await hotmount.status()).csi).toMatchObject({ registered: true, volumes: 9 });
    const { uid } = (await node.get('pod', 'all', '-n', EDGE)).metadata;
    await gone('all');
    await node.eventually(() => node.machine.sh('! test -e "/var/lib/kubelet/pods/$1"', uid));
    disk.pull();
    disk.unplug();
  });

  test('that a pod has by hand are refused by the webhook, as its annotation would be', async () => {
    const { node } = on();
    for (const source of [csi({ media: 'usb' }), { hostPath: { path: '/run/hotmount/media/usb' } }]) {
      const applied = await node.tryWith('apply', byHand('by-hand', source), '-n', SHOP);
      expect(applied.code).not.toBe(0);
      expect(applied.stderr).toContain(DENIED);
    }
    await node.apply(byHand('by-hand', csi({ lxcfs: 'meminfo' })), '-n', SHOP);
    await ready('by-hand', SHOP);
    await gone('by-hand', SHOP);
  });

  test('are refused by the node where the webhook is away, and the pod says why', async () => {
    const { node, hotmount } = on();
    await node.kubectl('delete', 'validatingwebhookconfiguration', 'hotmount');
    hotmount.isGone();
    await node.apply(byHand('past', csi({ media: 'usb' })), '-n', SHOP);
    await node.eventually(async () => {
      expect(await events('past', SHOP)).toMatch(/^FailedMount: .*PermissionDenied.*rule "edge" would/m);
    }, 90_000);
    await gone('past', SHOP);
    await hotmount.install();
  });

  test('go on when the kubelet, containerd and the daemon are killed', async () => {
    const { node } = on();
    // The webhook's configurations have just come back, and wait for their caBundle.
    await node.eventually(() => node.apply(modestPod('steady'), '-n', EDGE));
    await ready('steady');
    await node.restart('kubelet', 'KILL');
    await node.restart('containerd', 'KILL');
    // A kubelet that has just started does not know its pods yet.
    await node.eventually(async () => expect(await limit('steady')).toMatch(/ 262144 kB$/));
    await node.kubectl(
      'delete',
      'pod',
      '-n',
      NAMESPACE,
      '-l',
      'app.kubernetes.io/component=node',
      '--grace-period=0',
      '--force',
    );
    await node.apply(modestPod('after'), '-n', EDGE);
    await ready('after', EDGE, '180s');
    expect(await limit('after')).toMatch(/ 262144 kB$/);
    await gone('after');
  }, 400_000);

  test('are waited for while the driver is away, by pods that start and by those that go', async () => {
    const { node, hotmount } = on();
    await hotmount.upgrade({ node: { enabled: false } });
    const daemons = ['pod', '-n', NAMESPACE, '-l', 'app.kubernetes.io/component=node'];
    await node.kubectl('wait', '--for=delete', ...daemons, '--timeout=90s');
    await node.apply(modestPod('waits'), '-n', EDGE);
    await node.kubectl('delete', 'pod', 'steady', '-n', EDGE, '--wait=false');
    await node.eventually(async () => {
      expect(await events('waits', EDGE)).toMatch(
        /^FailedMount: .*(connection refused|not found in the list of registered CSI drivers)/m,
      );
    }, 90_000);
    await node.kubectl('get', 'pod', 'steady', '-n', EDGE);
    await hotmount.install();
    await ready('waits', EDGE, '180s');
    await node.kubectl('wait', '--for=delete', 'pod/steady', '-n', EDGE, '--timeout=180s');
    await gone('waits');
  }, 600_000);

  test('are, in the container, the mounts of hostPath volumes; pods keep what they have while the chart goes to csi and back', async () => {
    const { node, hotmount } = on();
    await hotmount.upgrade({ volumes: 'hostPath' });
    const plain = (name: string) => pod(name, { 'hotmount.io/lxcfs': 'true', 'hotmount.io/media': 'usb' });
    const EDGE_PRIVILEGED = 'edge-csi-privileged';
    await node.apply(namespace(EDGE_PRIVILEGED, 'privileged'));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE_PRIVILEGED));
    await node.apply(plain('by-host-path'), '-n', EDGE_PRIVILEGED);
    await ready('by-host-path', EDGE_PRIVILEGED);
    await hotmount.upgrade();
    await node.apply(plain('by-csi'), '-n', EDGE_PRIVILEGED);
    await ready('by-csi', EDGE_PRIVILEGED);
    const mounts = async (name: string) =>
      (await node.exec(EDGE_PRIVILEGED, name, 'cat', '/proc/self/mountinfo'))
        .split('\n')
        .map((line) => line.split(' ').slice(2).join(' '))
        .filter((line) => / \/(proc\/\w+|media\/usb) /.test(line) && line.includes('hotmount'))
        .sort();
    const sources = async (name: string) =>
      (await node.get('pod', name, '-n', EDGE_PRIVILEGED)).spec.volumes
        .filter(({ name: volume }: { name: string }) => volume.startsWith('hotmount-'))
        .map((volume: JsonObject) => Object.keys(volume).find((key) => key !== 'name'));
    expect(new Set(await sources('by-host-path'))).toEqual(new Set(['hostPath']));
    expect(new Set(await sources('by-csi'))).toEqual(new Set(['csi']));
    expect((await mounts('by-csi')).length).toBe(8);
    expect(await mounts('by-csi')).toEqual(await mounts('by-host-path'));
    await hotmount.upgrade({ volumes: 'hostPath' });
    for (const name of ['by-host-path', 'by-csi']) {
      expect(await node.exec(EDGE_PRIVILEGED, name, 'grep', 'MemTotal', '/proc/meminfo')).toMatch(/ 262144 kB$/);
      await gone(name, EDGE_PRIVILEGED);
    }
    await node.kubectl('delete', 'namespace', EDGE_PRIVILEGED);
  }, 600_000);

  const PODS = SOAK ? 100 : 5;
  test(`are there for ${PODS} pods at once, seven views each`, async () => {
    const { node, hotmount } = on();
    await hotmount.install();
    const names = Array.from({ length: PODS }, (_, i) => `many-${i}`);
    await node.apply(
      names.map((name) => modestPod(name, { 'hotmount.io/lxcfs': 'true' })),
      '-n',
      EDGE,
    );
    const all = names.map((name) => `pod/${name}`);
    await node.kubectl('wait', '--for=condition=Ready', ...all, '-n', EDGE, '--timeout=600s');
    for (const name of [names[0], names.at(-1)]) expect(await limit(name as string)).toMatch(/ 262144 kB$/);
    expect((await hotmount.status()).csi.volumes).toBe(PODS * 7);
    await node.kubectl('delete', ...all, '-n', EDGE, '--timeout=600s');
    await node.eventually(async () => expect((await hotmount.status()).csi.volumes).toBe(0), 60_000);
  }, 1_500_000);
});
