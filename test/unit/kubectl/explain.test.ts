import type { V1Pod } from '@kubernetes/client-node';
import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { explainPod, formatExplanation } from '../../../src/commands/kubectl/explain.ts';
import { busy, idle } from './cluster.ts';

const colors = picocolors.createColors(false);
const STATUS = {
  containers: { app: { lxcfs: 'meminfo,cpuinfo', media: 'usb:/media/usb', devices: 'serial' } },
  rules: ['everyone', 'edge'],
};
const pod = (more: Partial<V1Pod['metadata']> = {}, phase = 'Running'): V1Pod => ({
  metadata: {
    name: 'modem',
    namespace: 'edge',
    uid: 'd',
    annotations: { 'hotmount.io/lxcfs': 'meminfo,cpuinfo', 'hotmount.io/status': JSON.stringify(STATUS) },
    ...more,
  },
  spec: { nodeName: 'edge-1', containers: [] },
  status: { phase },
});

describe('kubectl hotmount explain', () => {
  it('says of each thing how it stands on the node', () => {
    const { has } = explainPod(pod(), { node: 'edge-1', status: busy() });
    expect(has).toEqual([
      { container: 'app', feature: 'lxcfs', item: 'meminfo', now: 'served by lxcfs 6.0.4', works: true },
      { container: 'app', feature: 'lxcfs', item: 'cpuinfo', now: 'served by lxcfs 6.0.4', works: true },
      {
        container: 'app',
        feature: 'media',
        item: 'usb:/media/usb',
        now: 'does not see sdb1: recreate the pod',
        works: false,
      },
      { container: 'app', feature: 'devices', item: 'serial', now: 'ttyUSB0', works: true },
    ]);
  });

  it('says why a device is refused, and what reads the node’s values', () => {
    const status = busy();
    const lxcfs = { ...(status.lxcfs as object), views: ['cpuinfo'] } as never;
    const { has } = explainPod(pod({ uid: 'e' }), { node: 'edge-1', status: { ...status, lxcfs } });
    expect(has.map(({ now, works }) => [now, works])).toEqual([
      ['the node’s values: this lxcfs does not serve it', false],
      ['served by lxcfs 6.0.4', true],
      ['does not see sdb1: recreate the pod', false],
      ['ttyUSB0: edge/modem has the class first, and maxContainers is 1', false],
    ]);
  });

  it('says what a live pod has been given while it runs, and why not more', () => {
    const annotations = {
      'hotmount.io/status': JSON.stringify({ containers: { app: { live: '/hotmount' } }, rules: [] }),
    };
    const explained = (pods: object[], problem?: string) => {
      const status = { ...idle(), live: { pods, taken: [], problem } } as never;
      return explainPod(pod({ annotations }), { node: 'edge-1', status });
    };
    const own = { podUid: 'd', pod: 'edge/modem', media: ['usb:ro'], devices: ['serial'] };
    const notGiven = [{ reason: 'class_unknown', message: 'there is no class "x"' }];
    expect(explained([{ ...own, notGiven }])).toMatchObject({
      has: [{ feature: 'live', now: 'media usb:ro, devices serial', works: true }],
      problems: ['there is no class "x"'],
    });
    expect(
      explained([{ ...own, media: [], devices: [], notGiven: [] }], 'annotations are seen late').has[0],
    ).toMatchObject({
      now: 'nothing is asked for, or given; annotations are seen late',
      works: true,
    });
    const unknown = { now: 'follows no change: its node does not know it as a live pod', works: false };
    expect(explained([]).has[0]).toMatchObject(unknown);
    const { has } = explainPod(pod({ annotations }), { node: 'edge-1', status: idle() });
    expect(has[0]).toMatchObject({ now: 'follows no change: its node has no CSI driver', works: false });
  });

  it('says that nothing is plugged in, that the node does not answer, and that the pod does not run', () => {
    expect(explainPod(pod(), { node: 'edge-1', status: idle() }).has.at(-1)?.now).toBe('nothing is plugged in');
    const silent = explainPod(pod(), { node: 'edge-1', pod: 'own/node', problem: 'no answer within 10 s' });
    expect(silent.has[0]).toMatchObject({ now: 'not known: its node does not answer' });
    expect(silent.problems).toEqual(['node edge-1: no answer within 10 s']);
    expect(explainPod(pod({}, 'Succeeded'), { node: 'edge-1', status: idle() }).has[0]?.now).toBe(
      'the pod does not run',
    );
  });

  it('tells a pod on no node from one whose node has no daemon', () => {
    const scheduled = explainPod(pod(), { node: 'edge-1', problem: 'no hotmount node runs there' });
    expect(scheduled.has[0]).toMatchObject({ now: 'not known: no hotmount node runs on its node' });
    expect(explainPod(pod(), undefined).has[0]?.now).toBe('not known: no hotmount node runs on its node');
    const pending = explainPod({ ...pod({}, 'Pending'), spec: { containers: [] } }, undefined);
    expect(pending.has[0]?.now).toBe('on no node yet');
  });

  it('says that a pod asks and was never shown to the webhook', () => {
    const { problems } = explainPod(pod({ annotations: { 'hotmount.io/lxcfs': 'true' } }), undefined);
    expect(problems).toEqual([expect.stringMatching(/^it asks, and has nothing: .* Delete it/)]);
  });

  it.each(['{}', '[]', 'null', '{"containers":3,"rules":[1],"warnings":{}}', '{"containers":{"a":{"b":1}}}', '{'])(
    'takes whatever somebody has written into the status annotation: %s',
    (text) => {
      const explained = explainPod(pod({ annotations: { 'hotmount.io/status': text } }), undefined);
      expect(explained).toMatchObject({ has: [], rules: [], problems: [] });
    },
  );

  it('shows what the policy says, and what the pods have', () => {
    const shown = formatExplanation(
      {
        apiVersion: 'hotmount.io/v1alpha1',
        kind: 'Explanation',
        object: 'Deployment edge/modem',
        underPolicy: {
          gives: [{ container: 'app', feature: 'lxcfs', item: 'meminfo', rule: 'everyone' }],
          denied: ['hotmount.io/media asks for media class "cam", which no policy rule allows'],
          warnings: [],
        },
        pods: [explainPod(pod(), { node: 'edge-1', status: busy() })],
      },
      { width: 80, colors },
    );
    expect(shown).toBe(`Deployment edge/modem
  the policy gives it:
    CONTAINER  FEATURE  ITEM     RULE
    app        lxcfs    meminfo  everyone
  denied: hotmount.io/media asks for media class "cam", which no policy rule
    allows

Pod edge/modem, on node edge-1, Running
  asks hotmount.io/lxcfs=meminfo,cpuinfo
    CONTAINER  FEATURE  ITEM            NOW
    app        lxcfs    meminfo         served by lxcfs 6.0.4
    app        lxcfs    cpuinfo         served by lxcfs 6.0.4
    app        media    usb:/media/usb  NO: does not see sdb1: recreate the pod
    app        devices  serial          ttyUSB0
  by the rules: everyone, edge
`);
  });
});
