import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeUnless } from '../describe-unless.ts';
import { earlierState, extractState } from '../earlier-state.ts';
import type { Cluster } from './cluster.ts';
import { describeInCluster } from './describe-in-cluster.ts';
import { CHART, type Installation, install } from './installation.ts';
import { namespace, pod } from './objects.ts';

const SHOP = 'shop-upgrade';
const NAME = 'an upgrade from the previous state';
const previous = earlierState('charts/hotmount');
if (previous === undefined) describeUnless('git knows no earlier state', NAME, () => {}, 'history');
else describeInCluster(NAME, (cluster) => upgrade(cluster, previous));

function upgrade(cluster: () => Cluster, previous: string): void {
  let hotmount: Installation;
  beforeAll(async () => {
    const directory = join(cluster().directory, 'previous');
    extractState(previous, directory, 'charts/hotmount');
    hotmount = await install(cluster(), { chart: join(directory, 'charts/hotmount') });
    await cluster().apply(namespace(SHOP));
    await cluster().eventually(() => cluster().kubectl('get', 'serviceaccount', 'default', '-n', SHOP));
  });
  afterAll(async () => {
    await cluster().kubectl('delete', 'namespace', SHOP, '--wait=false', '--ignore-not-found');
    await hotmount?.stop();
  });

  test('keeps certificates, an edited policy and pods, and goes on answering', async () => {
    const secret = async () => (await cluster().get('secret', 'hotmount-webhook-tls', '-n', hotmount.namespace)).data;
    const edited =
      'apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: [{ name: mine, namespaces: ["*"], allow: { lxcfs: true } }]\n';
    await hotmount.setPolicy(edited);
    const asks = (name: string) => cluster().apply(pod(name, { 'hotmount.io/lxcfs': 'meminfo' }), '-n', SHOP);
    await cluster().eventually(() => asks('before'));
    const [certificates, before] = [await secret(), await cluster().get('pod', 'before', '-n', SHOP)];

    await hotmount.helm('upgrade', hotmount.release, CHART, '--reset-then-reuse-values');
    expect(await secret()).toEqual(certificates);
    const policy = await cluster().get('configmap', 'hotmount-policy', '-n', hotmount.namespace);
    expect(policy.data['policy.yaml']).toBe(edited);
    expect((await cluster().get('pod', 'before', '-n', SHOP)).spec).toEqual(before.spec);
    const { webhooks } = await cluster().get('mutatingwebhookconfiguration', hotmount.release);
    for (const { clientConfig } of webhooks) expect(clientConfig.caBundle).toBeTruthy();
    await cluster().eventually(() => asks('after'));
    const after = await cluster().get('pod', 'after', '-n', SHOP);
    expect(after.spec.volumes).toEqual(
      expect.arrayContaining([expect.objectContaining({ name: 'hotmount-lxcfs-meminfo' })]),
    );
  });
}
