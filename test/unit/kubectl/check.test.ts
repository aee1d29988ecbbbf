import { X509Certificate } from 'node:crypto';
import type { V1Pod } from '@kubernetes/client-node';
import picocolors from 'picocolors';
import { beforeAll, describe, expect, it } from 'vitest';
import { selfSigned } from '../../../src/admission/certificates/self-signed.ts';
import { formatCheck, judge } from '../../../src/commands/kubectl/check.ts';
import type { Facts } from '../../../src/commands/kubectl/checks/finding.ts';
import { busy, idle, POLICY } from './cluster.ts';

let facts: Facts;
beforeAll(async () => {
  const { ca } = (await selfSigned({ namespace: 'a', name: 'b' })).current();
  const caBundle = Buffer.from(ca).toString('base64');
  const pod = { status: { containerStatuses: [{ ready: true }] } } as V1Pod;
  facts = {
    systemNamespace: 'hotmount-system',
    webhookPods: [pod, pod],
    caBundles: new Map([['MutatingWebhookConfiguration', [caBundle]]]),
    dryRun: { admitted: true },
    driver: { spec: { podInfoOnMount: true, volumeLifecycleModes: ['Ephemeral'] } },
    csiNodes: [{ metadata: { name: 'n' }, spec: { drivers: [{ name: 'hotmount.io', nodeID: 'n' }] } }],
    reports: [{ node: 'n', status: idle() }],
    policy: POLICY,
    namespaces: [
      { metadata: { name: 'hotmount-system', labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } } },
    ],
    now: new Date(Date.parse(new X509Certificate(ca).validTo) - 30 * 86_400_000),
  };
});

const found = (more: Partial<Facts>) => judge({ ...facts, ...more }).filter(({ severity }) => severity !== 'ok');
const node = (more: Parameters<typeof idle>[0]) => ({ reports: [{ node: 'n', status: idle(more) }] });

describe('kubectl hotmount check', () => {
  it('finds nothing where all is well', () => {
    expect(found({})).toEqual([]);
  });

  it('leaves out webhook pods that an update replaces, or that were evicted', () => {
    const status = { containerStatuses: [{ ready: false }] };
    const leaving = { metadata: { deletionTimestamp: new Date() }, status } as V1Pod;
    const evicted = { status: { phase: 'Failed' } } as V1Pod;
    expect(found({ webhookPods: [...facts.webhookPods, leaving, evicted] })).toEqual([]);
    expect(found({ webhookPods: [leaving] })).toMatchObject([
      { severity: 'error', message: '0 of 0 webhook pods are ready' },
    ]);
  });

  it.each<[string, () => Partial<Facts>, string, RegExp]>([
    ['no webhook pod', () => ({ webhookPods: [] }), 'error', /0 of 0 webhook pods/],
    [
      'a webhook that cannot be reached',
      () => ({ dryRun: { refused: 'failed calling webhook "pods.hotmount.io": no endpoints', code: 500 } }),
      'error',
      /no endpoints/,
    ],
    ['a webhook that is not asked', () => ({ dryRun: { admitted: false } }), 'error', /not shown to it/],
    [
      'a pod that may not be tried',
      () => ({ dryRun: { refused: 'pods is forbidden', code: 403 } }),
      'unknown',
      /forbidden/,
    ],
    [
      'no webhook configuration',
      () => ({ caBundles: new Map([['MutatingWebhookConfiguration', []]]) }),
      'error',
      /hotmount has no Mutating/,
    ],
    [
      'no caBundle',
      () => ({ caBundles: new Map([['MutatingWebhookConfiguration', [undefined]]]) }),
      'error',
      /no caBundle/,
    ],
    [
      'a caBundle that is none',
      () => ({ caBundles: new Map([['MutatingWebhookConfiguration', ['eA==']]]) }),
      'error',
      /is no certificate/,
    ],
    ['a CA that ends', () => ({ now: new Date(facts.now.getTime() + 29 * 86_400_000) }), 'error', /ends on/],
    ['no CSIDriver', () => ({ driver: null }), 'error', /no CSIDriver/],
    ['a CSIDriver that was changed', () => ({ driver: { spec: { podInfoOnMount: false } } }), 'error', /has changed/],
    ['a kubelet without the driver', () => ({ csiNodes: [] }), 'error', /not registered/],
    [
      'a node that does not answer',
      () => ({ reports: [{ node: 'n', problem: 'no answer' }] }),
      'error',
      /n: no answer/,
    ],
    [
      'a daemon that is not ready',
      () => node({ daemon: { ...idle().daemon, ready: false, problem: 'why' } }),
      'error',
      /n: why/,
    ],
    ['another policy', () => node({ policy: { ...idle().policy, digest: 'x' } }), 'warning', /has the policy x/],
    [
      'a broken policy',
      () => node({ policy: { ...idle().policy, problem: 'policy.yaml:1: no' } }),
      'error',
      /older one/,
    ],
    [
      'a resource that is not counted',
      () => {
        const resources = [{ name: 'hotmount.io/serial', count: 1, registered: false, problem: 'refused' }];
        return node({ devicePlugin: { kubeletDir: '/var/lib/kubelet', resources } });
      },
      'error',
      /^n: hotmount\.io\/serial: refused/,
    ],
    [
      'a device plugin without a kubelet',
      () => node({ devicePlugin: { kubeletDir: '/k', resources: [], problem: 'there is no kubelet directory /k' } }),
      'error',
      /n: there is no kubelet directory/,
    ],
    [
      'annotations that are seen late',
      () => node({ live: { pods: [], taken: [], problem: 'no inotify' } }),
      'warning',
      /n: no inotify/,
    ],
    [
      'a live pod that is not given what it asks for',
      () => {
        const notGiven = [{ reason: 'class_unknown', message: 'there is no class "x"' }];
        return node({ live: { pods: [{ podUid: 'a', pod: 'a/b', media: [], devices: [], notGiven }], taken: [] } });
      },
      'warning',
      /n: a\/b is not given what it asks for: there is no class "x"/,
    ],
    [
      'a disk that is not sound',
      () => {
        const notes = (['turned_read_only', 'owner_not_shown'] as const).map((reason) => ({ reason, message: 'why' }));
        return node({ mounted: busy().mounted.map((mount) => ({ ...mount, notes })) });
      },
      'warning',
      /^n\/sdb1: turned_read_only: why$/,
    ],
    ['lxcfs without a supervisor', () => node({ lxcfs: { problem: 'nobody' } }), 'error', /n: nobody/],
    ['a kernel that is too old', () => node({ daemon: { ...idle().daemon, kernel: '5.4.0-1' } }), 'error', /5\.12/],
    [
      'a kernel too old for devices',
      () => node({ daemon: { ...idle().daemon, kernel: '5.15.0' } }),
      'warning',
      /kernel_too_old/,
    ],
    [
      'a namespace that rejects the node',
      () => ({
        namespaces: [
          { metadata: { name: 'hotmount-system', labels: { 'pod-security.kubernetes.io/enforce': 'baseline' } } },
        ],
      }),
      'error',
      /enforces baseline/,
    ],
  ])('finds %s', (_name, more, severity, message) => {
    const findings = found(more());
    expect(findings).toEqual([expect.objectContaining({ severity, message: expect.stringMatching(message) })]);
    if (severity !== 'unknown') expect(findings[0]?.remedy).toBeTruthy();
  });

  it('says of what may not be read that it is not known', () => {
    const blind = found({
      caBundles: undefined,
      driver: undefined,
      csiNodes: undefined,
      policy: undefined,
      namespaces: undefined,
    });
    expect(blind.map(({ severity }) => severity)).toEqual(Array(5).fill('unknown'));
  });

  it('judges with -n the live pods of that namespace alone', () => {
    const notGiven = [{ reason: 'class_unknown', message: 'there is no class "x"' }];
    const pods = ['a/b', 'ab/c'].map((pod) => ({ podUid: pod, pod, media: [], devices: [], notGiven }));
    const of = (namespace: string | undefined) => found({ ...node({ live: { pods, taken: [] } }), namespace });
    expect(of(undefined)).toHaveLength(2);
    expect(of('a').map(({ message }) => message)).toEqual([expect.stringContaining('n: a/b is not given')]);
    expect(of('b')).toEqual([]);
  });

  it('says how a broken policy is mended for good, and where', () => {
    const [finding] = found(node({ policy: { ...idle().policy, problem: 'policy.yaml:1: no' } }));
    expect(finding?.remedy).toMatch(/helm upgrade; .* kubectl edit configmap hotmount-policy -n hotmount-system /);
  });

  it('shows nothing that a terminal would obey', () => {
    const findings = judge({ ...facts, reports: [{ node: 'n', problem: 'evil \u001b[2J\u202e text' }] });
    const report = { apiVersion: 'hotmount.io/v1alpha1', kind: 'CheckReport', findings } as const;
    const shown = formatCheck(report, { width: 80, colors: picocolors.createColors(false) });
    for (const obeyed of ['\u001b', '\u202e']) expect(shown).not.toContain(obeyed);
  });

  it('fits a terminal', () => {
    const report = {
      apiVersion: 'hotmount.io/v1alpha1',
      kind: 'CheckReport',
      findings: judge({ ...facts, webhookPods: [] }),
    } as const;
    const shown = formatCheck(report, { width: 80, colors: picocolors.createColors(false) });
    expect(shown).toContain('ERROR    webhook runs: 0 of 0 webhook pods are ready\n         → kubectl describe');
    for (const line of shown.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
  });
});
