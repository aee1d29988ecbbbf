import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../../src/contract/json.ts';
import { isFileVolume, readVolumeAttributes, volumePath } from '../../src/contract/volumes.ts';
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
const asHostPath = ({ name, csi }: JsonObject): JsonObject => {
  const { volumeAttributes } = csi as { volumeAttributes: Record<string, string> };
  const read = readVolumeAttributes(volumeAttributes);
  if ('problem' in read) throw new Error(read.problem);
  const type = isFileVolume(read.volume) ? 'File' : 'Directory';
  return { name: name as string, hostPath: { path: volumePath(read.volume), type } };
};
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
    // Those of pods that had no time to end in go after their pods.
    await node.eventually(async () =>
      expect((await hotmount.status()).csi).toMatchObject({ registered: true, volumes: 9 }),
    );
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
    // For a moment, the API server asks it all the same.
    await node.eventually(() => node.apply(byHand('past', csi({ media: 'usb' })), '-n', SHOP));
    await node.eventually(async () => {
      expect(await events('past', SHOP)).toMatch(/^FailedMount: .*PermissionDenied.*rule "edge" would/m);
    }, 90_000);
    await gone('past', SHOP);
    await hotmount.install();
  }, 400_000);

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
    // A kubelet that has just started may call the webhook's pods unready until it has probed them.
    await node.eventually(() => node.apply(modestPod('after'), '-n', EDGE));
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

  test('are, in the container, the mounts of hostPath volumes, and both go on while the chart changes from one to the other', async () => {
    const { node, hotmount } = on();
    const OPEN = 'edge-csi-open';
    await node.apply(namespace(OPEN, 'privileged'));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', OPEN));
    // What the webhook makes of it, and the same by hostPath, as an older one would have made it.
    await node.apply(pod('by-csi', { 'hotmount.io/lxcfs': 'true', 'hotmount.io/media': 'usb' }), '-n', OPEN);
    const { volumes, containers } = (await node.get('pod', 'by-csi', '-n', OPEN)).spec;
    const isOurs = ({ name }: JsonObject) => String(name).startsWith('hotmount-');
    const byHostPath = {
      volumes: volumes.filter(isOurs).map(asHostPath),
      volumeMounts: containers[0].volumeMounts.filter(isOurs),
    };
    expect(byHostPath.volumes).toHaveLength(8);
    const { volumeMounts } = byHostPath;
    await node.apply(pod('by-host-path', {}, { volumes: byHostPath.volumes }, { volumeMounts }), '-n', OPEN);
    await ready('by-csi', OPEN);
    await ready('by-host-path', OPEN);
    const mounts = async (name: string) =>
      (await node.exec(OPEN, name, 'cat', '/proc/self/mountinfo'))
        .split('\n')
        .map((line) => line.split(' ').slice(2).join(' '))
        .filter((line) => / - \S+ hotmount /.test(line))
        .sort();
    expect(await mounts('by-csi')).toHaveLength(8);
    expect(await mounts('by-csi')).toEqual(await mounts('by-host-path'));
    for (const values of [{ volumes: 'hostPath' }, {}]) {
      await hotmount.upgrade(values);
      for (const name of ['by-csi', 'by-host-path']) {
        expect(await node.exec(OPEN, name, 'grep', 'MemTotal', '/proc/meminfo')).toMatch(/ 262144 kB$/);
      }
    }
    for (const name of ['by-csi', 'by-host-path']) await gone(name, OPEN);
    await node.kubectl('delete', 'namespace', OPEN);
  }, 600_000);

  const PODS = SOAK ? 100 : 5;
  test(`are there for ${PODS} pods at once, seven views each, and go, while the daemon is replaced`, async () => {
    const { node, hotmount } = on();
    await hotmount.install();
    const volumes = (count: number) =>
      node.eventually(async () => expect((await hotmount.status()).csi.volumes).toBe(count), 60_000);
    await volumes(0);
    const names = Array.from({ length: PODS }, (_, i) => `many-${i}`);
    await node.apply(
      names.map((name) => modestPod(name, { 'hotmount.io/lxcfs': 'true' })),
      '-n',
      EDGE,
    );
    const replace = () => node.kubectl('rollout', 'restart', 'daemonset/hotmount-node', '-n', NAMESPACE);
    await replace();
    const all = names.map((name) => `pod/${name}`);
    await node.kubectl('wait', '--for=condition=Ready', ...all, '-n', EDGE, '--timeout=600s');
    for (const name of [names[0], names.at(-1)]) expect(await limit(name as string)).toMatch(/ 262144 kB$/);
    const replaced = () =>
      node.kubectl('rollout', 'status', 'daemonset/hotmount-node', '-n', NAMESPACE, '--timeout=180s');
    await replaced();
    await volumes(PODS * 7);
    await replace();
    await node.kubectl('delete', ...all, '-n', EDGE, '--timeout=600s');
    await replaced();
    await volumes(0);
  }, 1_500_000);
});
