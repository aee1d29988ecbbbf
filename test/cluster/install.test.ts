import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SOAK } from '../settings.ts';
import type { ApiClient } from './api-client.ts';
import { describeInCluster } from './describe-in-cluster.ts';
import { CHART, type Installation, install } from './installation.ts';
import { deployment, namespace, pod } from './objects.ts';

/** Two seconds are what the soak asserts, on a machine of its own; otherwise it is a limit to waiting. */
const IN_FORCE_MS = SOAK ? 2_000 : 30_000;

describeInCluster('the chart, installed', (cluster) => {
  let hotmount: Installation;
  let api: ApiClient;
  beforeAll(async () => {
    hotmount = await install(cluster());
    api = await cluster().apiClient();
    await cluster().apply([namespace('shop'), namespace('defaulted', { 'hotmount.io/defaults': 'enabled' })]);
    for (const name of ['shop', 'defaulted']) {
      await cluster().eventually(() => cluster().kubectl('get', 'serviceaccount', 'default', '-n', name));
    }
  });
  afterAll(async () => {
    await api?.close();
    await hotmount?.stop();
    await cluster().kubectl('delete', 'namespace', 'shop', 'defaulted', '--wait=false');
  });

  const podsOf = async (app: string) => (await cluster().get('pods', '-n', 'shop', '-l', `app=${app}`)).items;
  const mountsOf = (item: { spec: { containers: Array<{ volumeMounts?: Array<{ mountPath: string }> }> } }) =>
    item.spec.containers.flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ mountPath }) => mountPath));

  test('is not asked about pods that ask for nothing', async () => {
    const before = await hotmount.metric('hotmount_admission_requests_total');
    for (let i = 0; i < 20; i++) {
      const answer = await api.create('shop', pod(`plain-${i}`, { 'example.com/note': 'hotmount.io/' }));
      expect(answer.code, answer.body.message).toBe(201);
    }
    expect(await hotmount.metric('hotmount_admission_requests_total')).toBe(before);
  });

  test('is asked about all pods of a namespace that is labelled for defaults', async () => {
    const before = await hotmount.metric('hotmount_admission_requests_total');
    expect((await api.create('defaulted', pod('plain'))).code).toBe(201);
    expect(await hotmount.metric('hotmount_admission_requests_total')).toBe(before + 1);
  });

  test('gives the pods of an annotated Deployment what it asks for', async () => {
    await cluster().apply(deployment('web', 2), '-n', 'shop');
    await cluster().eventually(async () => expect(await podsOf('web')).toHaveLength(2));
    const warning = await cluster().tryKubectl([
      'annotate',
      'deployment',
      'web',
      'hotmount.io/lxcfs=meminfo',
      '-n',
      'shop',
    ]);
    expect(warning.code).toBe(0);
    await cluster().eventually(async () => {
      const pods = (await podsOf('web')).filter(({ metadata }: { metadata: JsonMeta }) => !metadata.deletionTimestamp);
      expect(pods.some((item: never) => mountsOf(item).includes('/proc/meminfo'))).toBe(true);
    });
  });

  test('denies with a message that kubectl shows', async () => {
    const { code, stderr } = await cluster().tryWith(
      'create',
      pod('asker', { 'hotmount.io/media': 'usb' }),
      '-n',
      'shop',
    );
    expect(code).toBe(1);
    expect(stderr).toContain(
      'admission webhook "pods.hotmount.io" denied the request: hotmount.io/media asks for media class "usb", which no policy rule allows',
    );
  });

  test('warns on standard error, as kubectl does', async () => {
    const { code, stdout, stderr } = await cluster().tryWith(
      'create',
      deployment('wants', 1, { 'hotmount.io/media': 'usb' }),
      '-n',
      'shop',
    );
    expect([code, stdout.trim()]).toEqual([0, 'deployment.apps/wants created']);
    await cluster().kubectl('delete', 'deployment', 'wants', '-n', 'shop');
    expect(stderr).toMatch(/^Warning: pods of this Deployment would be denied: .*media class "usb"/m);
  });

  test.each([
    ['long values', () => ({ 'example.com/a': 'x'.repeat(250_000), 'hotmount.io/lxcfs': 'meminfo' })],
    ['many keys', () => ({ ...manyKeys(250_000), 'hotmount.io/lxcfs': 'meminfo' })],
    [
      'just too few keys to be let through unseen',
      () => ({ ...manyKeys(2_000 * 20, 2_000), 'hotmount.io/lxcfs': 'meminfo' }),
    ],
  ])('takes a pod with 256 KiB of annotations: %s', async (name, annotations) => {
    const answer = await api.create('shop', pod(`large-${name.replaceAll(' ', '-')}`, annotations()));
    expect(answer.code, answer.body.message).toBe(201);
    expect(mountsOf(answer.body)).toContain('/proc/meminfo');
  });

  test('refuses a broken policy while it is being edited, with its lines', async () => {
    const broken = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules:\n  - name: a\n    namespace: ["*"]\n';
    await expect(hotmount.setPolicy(broken)).rejects.toThrow(/policy\.yaml:5:5: .*namespace/);
  });

  test('puts a new policy into force, and keeps the last good one', async () => {
    await hotmount.setPolicy(everyoneMay('{ lxcfs: true, media: [usb] }'));
    await expect.poll(async () => (await tryMedia()).code, { timeout: IN_FORCE_MS, interval: 100 }).toBe(201);

    // Past the validating webhook, as when the webhook was away.
    await cluster().kubectl('delete', 'validatingwebhookconfiguration', 'hotmount');
    const failures = await hotmount.metric('hotmount_policy_reloads_total', 'failure');
    // For a moment, the API server asks it all the same.
    await cluster().eventually(() => hotmount.setPolicy('kind: Polizei\n'));
    await expect
      .poll(() => hotmount.metric('hotmount_policy_reloads_total', 'failure'), { timeout: IN_FORCE_MS })
      .toBe(failures + 1);
    expect((await tryMedia()).code).toBe(201);
    expect(await hotmount.metric('hotmount_policy_broken')).toBe(1);
    await cluster().eventually(async () => {
      const described = await cluster().kubectl('describe', 'configmap', 'hotmount-policy', '-n', hotmount.namespace);
      expect(described).toMatch(/Warning\s+PolicyRefused .*The last good policy stays in force: policy\.yaml:1:/);
    });

    await hotmount.setPolicy(everyoneMay('{ lxcfs: true }'));
    await expect.poll(async () => (await tryMedia()).code, { timeout: IN_FORCE_MS, interval: 100 }).toBe(403);
    expect(await hotmount.metric('hotmount_policy_broken')).toBe(0);
    await hotmount.helm('upgrade', hotmount.release, CHART, '--set', 'editedPolicy=overwrite', '--force-conflicts');
  });

  test('goes by the labels of namespaces, of those too that have just come', async () => {
    await hotmount.setPolicy(
      'apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: [{ name: gold, namespaces: ["*"], namespaceLabels: { tier: [gold] }, allow: { lxcfs: true } }]\n',
    );
    const tryIn = async (name: string) =>
      (await api.create(name, pod('try', { 'hotmount.io/lxcfs': 'true' }), 'dryRun=All')).code;
    await expect.poll(() => tryIn('shop'), { timeout: IN_FORCE_MS }).toBe(403);
    await cluster().kubectl('label', 'namespace', 'shop', 'tier=gold');
    await expect.poll(() => tryIn('shop'), { timeout: IN_FORCE_MS }).toBe(201);
    await cluster().kubectl('label', 'namespace', 'shop', 'tier-');
    await expect.poll(() => tryIn('shop'), { timeout: IN_FORCE_MS }).toBe(403);

    // Its labels are asked for where the watch has not told of them: by the first answer they are known.
    for (let i = 0; i < 5; i++) {
      const { code, body } = await api.send('POST', '/api/v1/namespaces', namespace(`new-${i}`, { tier: 'gold' }));
      expect(code, body.message).toBe(201);
      await cluster().eventually(async () =>
        expect((await api.send('GET', `/api/v1/namespaces/new-${i}/serviceaccounts/default`)).code).toBe(200),
      );
      expect(await tryIn(`new-${i}`)).toBe(201);
      await api.send('DELETE', `/api/v1/namespaces/new-${i}`);
    }
    await hotmount.helm('upgrade', hotmount.release, CHART, '--set', 'editedPolicy=overwrite', '--force-conflicts');
    await expect.poll(() => tryIn('shop'), { timeout: IN_FORCE_MS }).toBe(201);
  });

  const everyoneMay = (allow: string) =>
    `apiVersion: hotmount.io/v1alpha1\nkind: Policy\nmediaClasses: [{ name: usb, match: [{ bus: [usb] }] }]\nrules: [{ name: all, namespaces: ["*"], allow: ${allow} }]\n`;
  const tryMedia = () => api.create('shop', pod('try', { 'hotmount.io/media': 'usb' }), 'dryRun=All');

  test('lets pods that ask for nothing start while it is down, and has those that ask wait', async () => {
    const [replica] = hotmount.replicas;
    if (!replica) throw new Error('there is a replica');
    await replica.process.stop('SIGKILL');
    hotmount.replicas.splice(0);
    expect((await api.create('shop', pod('plain-while-down'))).code).toBe(201);
    expect((await api.create('defaulted', pod('plain-while-down'))).code).toBe(201);
    const refused = await api.create('shop', pod('asks-while-down', { 'hotmount.io/lxcfs': 'true' }));
    expect(refused.code).toBe(500);
    expect(refused.body.message).toContain('failed calling webhook "pods.hotmount.io"');
    await hotmount.addReplica();
    await sleep(100);
    await cluster().eventually(async () => {
      const answer = await api.create('shop', pod('asks-again', { 'hotmount.io/lxcfs': 'true' }), 'dryRun=All');
      expect(answer.code, answer.body.message).toBe(201);
    });
  });
});

interface JsonMeta {
  readonly deletionTimestamp?: string;
}

/** As many short keys as fit, or so many. */
function manyKeys(bytes: number, limit = Number.POSITIVE_INFINITY): Record<string, string> {
  const annotations: Record<string, string> = {};
  for (let i = 0, size = 0; i < limit; i++) {
    const key = i.toString(36);
    size += key.length;
    if (size > bytes) break;
    annotations[key] = '';
  }
  return annotations;
}
