import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { podsOf, whyNot } from '../../../src/commands/kubectl/daemons.ts';
import { findSystemNamespace } from '../../../src/commands/kubectl/system-namespace.ts';
import { fakeConnection } from './fake-connection.ts';

const CONFIGURATIONS = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const DRIVER = '/apis/storage.k8s.io/v1/csidrivers/hotmount.io';

const configuration = (namespace: string, chart = 'hotmount-0.1.0') => ({
  metadata: { labels: { 'helm.sh/chart': chart } },
  webhooks: [{ clientConfig: { service: { namespace, name: 'webhook' } } }, { clientConfig: { url: 'https://x' } }],
});
const driver = (annotations: Record<string, string>) => ({ metadata: { annotations } });

describe('where hotmount is installed', () => {
  it.each<[string, Record<string, object | number>, string]>([
    [
      'the webhook configuration says',
      { [CONFIGURATIONS]: { items: [configuration('aaa', 'other-1'), configuration('own')] } },
      'own',
    ],
    [
      'the CSIDriver’s release says, where webhook configurations may not be read',
      { [CONFIGURATIONS]: 403, [DRIVER]: driver({ 'meta.helm.sh/release-namespace': 'own' }) },
      'own',
    ],
    [
      'the CSIDriver’s release says, where the webhook configuration has been deleted',
      { [CONFIGURATIONS]: { items: [] }, [DRIVER]: driver({ 'meta.helm.sh/release-namespace': 'own' }) },
      'own',
    ],
  ])('is as %s', async (_name, answers, namespace) => {
    expect(await findSystemNamespace(fakeConnection(answers))).toBe(namespace);
  });

  it('is as the flag says, and nothing is asked', async () => {
    const connection = fakeConnection({}, { systemNamespace: 'own' });
    expect(await findSystemNamespace(connection)).toBe('own');
    expect(connection.asked).toEqual([]);
  });

  it.each<[string, Record<string, object | number>, RegExp]>([
    [
      'may not be seen',
      { [CONFIGURATIONS]: 403, [DRIVER]: 403 },
      /right to list mutatingwebhookconfigurations, or to get the csidriver hotmount\.io; or .*--system-namespace/,
    ],
    ['is nowhere', { [CONFIGURATIONS]: { items: [] } }, /is the chart installed .*--system-namespace/],
    [
      'is in several',
      { [CONFIGURATIONS]: { items: [configuration('one'), configuration('two')] } },
      /installed in one and two: .*--system-namespace/,
    ],
    ['is not answered', { [CONFIGURATIONS]: 500 }, /is refused/],
  ])('says what helps where it %s', async (_name, answers, message) => {
    await expect(findSystemNamespace(fakeConnection(answers))).rejects.toThrow(message);
  });
});

describe('the pods of hotmount', () => {
  const pod = (name: string, chart: string, owner?: string): V1Pod => ({
    metadata: {
      name,
      labels: { 'helm.sh/chart': chart },
      ...(owner ? { ownerReferences: [{ apiVersion: 'v1', kind: owner, name, uid: name, controller: true }] } : {}),
    },
  });
  const pods = [
    pod('own', 'hotmount-0.1.0', 'DaemonSet'),
    pod('by-hand', 'hotmount-0.1.0'),
    pod('of-a-deployment', 'hotmount-0.1.0', 'ReplicaSet'),
    pod('of-another-chart', 'other-0.1.0', 'DaemonSet'),
  ];

  it('are those of its own namespace that its DaemonSet has made', async () => {
    const connection = fakeConnection({ '/api/v1/namespaces/own/pods': { items: pods } });
    const found = await podsOf(connection, 'own', 'node');
    expect(found.map(({ metadata }) => metadata?.name)).toEqual(['own']);
    expect(connection.asked).toEqual(['/api/v1/namespaces/own/pods?app.kubernetes.io/component=node']);
  });
});

describe('why a node gives no answer', () => {
  const late = new DOMException('The operation was aborted due to timeout', 'TimeoutError');

  it('names the time that it had', () => {
    expect(whyNot(late, 10_000)).toBe('no answer within 10 s (--timeout)');
    expect(whyNot(late, 10_000, 60_000)).toBe('no answer within 70 s (--timeout and 60 s more)');
  });
});
