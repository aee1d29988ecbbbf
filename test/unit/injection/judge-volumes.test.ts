import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/contract/json.ts';
import { inject, judgeVolumes } from '../../../src/injection/index.ts';
import { NamespaceLabelsUnknownError, parsePolicy } from '../../../src/policy/index.ts';
import { pods } from './generators/pods.ts';
import { contexts, policies } from './generators/policies.ts';
import { RUNS, TIMEOUT } from './runs.ts';

const policy = parsePolicy(`
apiVersion: hotmount.io/v1alpha1
kind: Policy
mediaClasses: [{ name: usb, match: [{ bus: [usb] }] }]
deviceClasses: [{ name: serial, match: [{ subsystem: [tty] }] }]
rules:
  - { name: everyone, namespaces: ["*"], allow: { lxcfs: true } }
  - name: edge
    namespaces: ["edge-*"]
    serviceAccounts: [copier]
    allow: { media: [usb], devices: [serial], dev: [/host-dev], uevents: [udev] }
  - { name: labelled, namespaces: ["*"], namespaceLabels: { tier: edge }, allow: { devices: [serial] } }
`);
const csi = (volumeAttributes: JsonObject, more: JsonObject = { readOnly: true }): JsonObject => ({
  csi: { driver: 'hotmount.io', ...more, volumeAttributes },
});
const hostPath = (path: string): JsonObject => ({ hostPath: { path } });
const podOf = (source: JsonObject, mount: JsonObject = { mountPath: '/data' }): JsonObject => ({
  spec: {
    serviceAccountName: 'copier',
    containers: [{ name: 'app', volumeMounts: [{ name: 'data', ...mount }] }],
    volumes: [
      { name: 'other', emptyDir: {} },
      { name: 'data', ...source },
    ],
  },
});
const judge = (pod: JsonObject, namespace = 'edge-1') =>
  judgeVolumes(pod, { namespace, namespaceLabels: {} }, policy).map(({ message }) => message);

describe('the hotmount volumes of a pod', () => {
  it.each([
    csi({ media: 'usb' }),
    csi({ media: 'usb', access: 'ro' }),
    csi({ devices: 'serial' }),
    csi({ lxcfs: 'meminfo' }),
    csi({ udev: 'true' }),
    hostPath('/run/hotmount/media/usb'),
    hostPath('/run/hotmount/media-ro/usb/'),
    hostPath('/run/hotmount/lxcfs/sys/devices/system/cpu'),
    hostPath('/run/hotmountain'),
    hostPath('/dev'),
    { csi: { driver: 'other.example', volumeAttributes: { media: 'nobodys' } } },
    { emptyDir: {} },
    { csi: null },
  ])('are admitted where the policy gives them: %j', (source) => {
    expect(judge(podOf(source))).toEqual([]);
  });

  const NOT_ALLOWED =
    'volume data asks for media class "usb", which no policy rule allows in namespace shop for service account copier; rule "edge" would, for namespaces edge-*';
  it.each([
    [csi({ media: 'usb' }), NOT_ALLOWED],
    [hostPath('/run/hotmount/media/usb'), NOT_ALLOWED],
    [hostPath('//run/./hotmount//media/usb'), NOT_ALLOWED],
    [hostPath('/var/run/hotmount/media/usb'), NOT_ALLOWED],
    [hostPath('/proc/1/root/run/hotmount/media/usb'), NOT_ALLOWED],
    [csi({ devices: 'serial' }), 'asks for device class "serial"'],
    [csi({ udev: 'true' }), 'asks for device event access "udev"'],
    [csi({ dev: 'true' }), 'asks for the alias "/data" for /dev'],
    [csi({ media: 'ubs' }), 'volume data is of the media class "ubs", and the policy has no such class; it has usb'],
    [csi({ media: '../../etc' }), 'its volumeAttributes are none of its: expected { media: CLASS }'],
    [csi({ media: 'usb', users: 'own' }), 'users: own is for pods with hostUsers: false'],
    [csi({}), 'its volumeAttributes are none of its'],
    [{ csi: { driver: 'hotmount.io', readOnly: true } }, 'its volumeAttributes are none of its'],
    [
      csi({ lxcfs: 'meminfo' }, {}),
      'volume data is of the driver hotmount.io and not readOnly: set csi.readOnly: true',
    ],
    [hostPath('/run/hotmount'), 'belongs to hotmount and is not for pods'],
    [hostPath('/run/hotmount/media'), 'belongs to hotmount and is not for pods'],
    [hostPath('/run/hotmount/media/usb/STICK'), 'belongs to hotmount and is not for pods'],
    [hostPath('/run/hotmount/.lxcfs/1/mnt'), 'belongs to hotmount and is not for pods'],
  ])('are refused where it does not: %j', (source, message) => {
    expect(judge(podOf(source), 'shop')).toContainEqual(expect.stringContaining(message));
  });

  it('are for users of their own in pods that have some', () => {
    const { spec, ...pod } = podOf(csi({ media: 'usb', users: 'own' }));
    expect(judge({ ...pod, spec: { ...(spec as JsonObject), hostUsers: false } })).toEqual([]);
  });

  it("are judged by where containers have the node's /dev", () => {
    expect(judge(podOf(csi({ dev: 'true' }), { mountPath: '/host-dev/' }))).toEqual([]);
    expect(judge(podOf(csi({ dev: 'true' }), { mountPath: '/elsewhere' }))).toEqual([
      expect.stringContaining('asks for the alias "/elsewhere" for /dev, which no policy rule allows'),
    ]);
    expect(judge(podOf(csi({ dev: 'true' }), { mountPath: '/dev' }))).toContainEqual(
      expect.stringContaining('at "/dev", which would cover /dev'),
    );
  });

  it('are mounted whole', () => {
    expect(judge(podOf(csi({ media: 'usb' }), { mountPath: '/data', subPath: 'photos' }))).toEqual([
      expect.stringContaining('container app mounts a part (subPath) of volume data'),
    ]);
  });

  it('are not judged by labels that nobody knows', () => {
    const ask = () =>
      judgeVolumes(podOf(csi({ devices: 'serial' })), { namespace: 'shop', namespaceLabels: undefined }, policy);
    expect(ask).toThrow(NamespaceLabelsUnknownError);
  });

  it('are admitted where injection has given them, for any pod and policy', { timeout: TIMEOUT }, () => {
    const run = fc.property(pods, contexts, policies, (pod, context, anyPolicy) => {
      const { pod: injected, denials } = inject(pod, context, anyPolicy);
      if (denials.length > 0) return;
      // What the pod mounts by hand of a volume that injection has given it is the pod's own.
      const { volumes = [] } = injected['spec'] as JsonObject;
      const byHand = { ...pod, spec: { ...(pod['spec'] as JsonObject), volumes } };
      const own = new Set(judgeVolumes(byHand, context, anyPolicy).map(({ message }) => message));
      const added = judgeVolumes(injected, context, anyPolicy).filter(({ message }) => !own.has(message));
      expect(added).toEqual([]);
    });
    fc.assert(run, { numRuns: RUNS });
  });
});
