import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { issueAuthority, issueLeaf } from '../../src/admission/certificates/issue.ts';
import { defaultPolicy, parsePolicy } from '../../src/policy/index.ts';
import type { ApiClient } from './api-client.ts';
import { describeInCluster } from './describe-in-cluster.ts';
import { FakeSidecarInjector } from './fake-sidecar-injector.ts';
import { CHART, type Installation, install } from './installation.ts';
import { namespace, pod } from './objects.ts';

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describeInCluster('hotmount in a cluster', (cluster) => {
  let api: ApiClient;
  beforeAll(async () => {
    api = await cluster().apiClient();
    await cluster().apply(namespace('tenant'));
    await cluster().eventually(() => cluster().kubectl('get', 'serviceaccount', 'default', '-n', 'tenant'));
  });
  afterAll(async () => {
    await api?.close();
    await cluster().kubectl('delete', 'namespace', 'tenant', '--wait=false');
  });
  const installed = async (options: Parameters<typeof install>[1] = {}): Promise<Installation> => {
    const hotmount = await install(cluster(), options);
    cleanups.push(() => hotmount.stop());
    return hotmount;
  };
  const mounts = (item: {
    spec: { containers: Array<{ name: string; volumeMounts?: Array<{ mountPath: string }> }> };
  }) =>
    Object.fromEntries(
      item.spec.containers.map(({ name, volumeMounts = [] }) => [
        name,
        volumeMounts.map(({ mountPath }) => mountPath).filter(isOurs),
      ]),
    );
  const isOurs = (path: string) => !path.startsWith('/var/run/secrets/');

  test('injects the sidecar that another webhook adds after it, and nothing twice', async () => {
    const hotmount = await installed();
    const injector = await FakeSidecarInjector.listen();
    cleanups.push(() => injector.close());
    await cluster().apply(injector.configuration('tenant'));
    cleanups.push(() => cluster().kubectl('delete', 'mutatingwebhookconfiguration', 'zz-sidecar'));
    await cluster().eventually(async () => {
      const { body } = await api.create('tenant', pod('probe'), 'dryRun=All');
      expect(Object.keys(mounts(body))).toEqual(['app', 'sidecar']);
    });

    const asked = await hotmount.metric('hotmount_admission_requests_total');
    const { code, body } = await api.create('tenant', pod('two', { 'hotmount.io/lxcfs': 'meminfo' }));
    expect(code, body.message).toBe(201);
    expect(mounts(body)).toEqual({ app: ['/proc/meminfo'], sidecar: ['/proc/meminfo'] });
    expect(body.spec.volumes.filter(({ name }: { name: string }) => name.startsWith('hotmount-'))).toHaveLength(1);
    // Injected, injected again after the sidecar, and the volumes judged.
    expect(await hotmount.metric('hotmount_admission_requests_total')).toBe(asked + 3);
  });

  test('is upgraded without a new certificate, and uninstalled without a trace', async () => {
    const before = await everything(cluster());
    const hotmount = await installed();
    const secret = () => cluster().get('secret', 'hotmount-webhook-tls', '-n', hotmount.namespace);
    const bundle = async () =>
      (await cluster().get('mutatingwebhookconfiguration', 'hotmount')).webhooks.map(
        ({ clientConfig }: { clientConfig: { caBundle: string } }) => clientConfig.caBundle,
      );
    const [{ data }, trusted] = [await secret(), await bundle()];

    await hotmount.helm(
      'upgrade',
      'hotmount',
      CHART,
      '--set',
      'webhook.replicas=3',
      '--set',
      'policy.onViolation=warn',
    );
    expect((await secret()).data).toEqual(data);
    expect(await bundle()).toEqual(trusted);
    await cluster().eventually(async () => {
      const { code, body } = await api.create('tenant', pod('warned', { 'hotmount.io/media': 'usb' }), 'dryRun=All');
      expect(code, body.message).toBe(201);
    });

    const { namespace: home } = hotmount;
    await hotmount.stop();
    // The namespace was the admin's, and its deletion would hide what is left in it.
    await cluster().eventually(async () => expect(await everything(cluster(), home)).toEqual(before));
  });

  test('waits for no API server once it has been uninstalled', async () => {
    const hotmount = await installed({ args: ['--drain-seconds=1'] });
    const { code, body } = await api.create('tenant', pod('caller', { 'hotmount.io/lxcfs': 'meminfo' }), 'dryRun=All');
    expect(code, body.message).toBe(201);
    await cluster().helm('uninstall', 'hotmount', '-n', hotmount.namespace);
    const { process } = hotmount.replicas[0] as (typeof hotmount.replicas)[number];
    // API servers keep their connections for 90 s.
    await process.stop('SIGTERM', 60_000);
    expect(process.exitCode).toBe(0);
    expect(process.output.trim().split('\n').at(-1)).toMatch(/"msg":"drained and closed"/);
  });

  test('keeps a policy that was edited in the cluster at upgrades, and refuses to choose between two changes', async () => {
    const hotmount = await installed();
    const edited = '# by hand\napiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: []\n';
    const name = ['configmap', 'hotmount-policy', '-n', hotmount.namespace];
    const policy = async () => (await cluster().get(...name)).data['policy.yaml'];
    const upgrade = (...set: string[]) =>
      hotmount.helm('upgrade', 'hotmount', CHART, ...set.flatMap((s) => ['--set', s]));
    await hotmount.setPolicy(edited);

    await upgrade('webhook.replicas=3');
    expect(await policy()).toBe(edited);
    expect((await cluster().get('deployment', 'hotmount-webhook', '-n', hotmount.namespace)).spec.replicas).toBe(3);

    const both = upgrade('policy.onViolation=warn');
    await expect(both).rejects.toThrow(/was edited in the cluster, and `policy` in the values has changed as well/);
    expect(await policy()).toBe(edited);
    await upgrade('policy.onViolation=warn', 'editedPolicy=keep');
    expect(await policy()).toBe(edited);
    // That was a decision: the values have not changed since.
    await upgrade('policy.onViolation=warn');
    expect(await policy()).toBe(edited);

    await expect(upgrade('editedPolicy=overwrite')).rejects.toThrow(/conflict with .*data\.policy\.yaml/);
    await hotmount.helm('upgrade', 'hotmount', CHART, '--set', 'editedPolicy=overwrite', '--force-conflicts');
    expect(parsePolicy(await policy())).toEqual(defaultPolicy());
    // Nobody's edit, from here on.
    await upgrade('policy.onViolation=warn');
    expect(parsePolicy(await policy()).onViolation).toBe('warn');
  });

  /** The command of the chart's test pod, as that would run it; `ca` is where the pod's volume has it, if it has one. */
  const runHelmTest = async ({ namespace: home }: Installation, ca?: string) => {
    const hooks = await cluster().helm('get', 'hooks', 'hotmount', '-n', home);
    const [container] = parse(hooks).spec.containers;
    const { spec } = await cluster().get('service', 'hotmount-webhook', '-n', home);
    // Stands in for the cluster's DNS.
    const dns = `import dns from 'node:dns'; dns.lookup = (_, options, done) => options.all ? done(null, [{ address: '${spec.clusterIP}', family: 4 }]) : done(null, '${spec.clusterIP}', 4);`;
    const [, ...flags] = container.command;
    const env = Object.fromEntries(
      container.env.map(({ name, value }: { name: string; value: string }) => [name, value]),
    );
    const args = ['--import', `data:text/javascript,${encodeURIComponent(dns)}`, ...flags, ...container.args];
    if (ca !== undefined) env['SSL_CERT_FILE'] = ca;
    return (await promisify(execFile)(process.execPath, args, { env })).stdout;
  };

  test('passes its own test, run as the test pod would', async () => {
    const hotmount = await installed();
    const ca = join(cluster().directory, 'ca.crt');
    const { data } = await cluster().get('secret', 'hotmount-webhook-tls', '-n', hotmount.namespace);
    await writeFile(ca, Buffer.from(data['ca.crt'], 'base64'));
    expect(await runHelmTest(hotmount, ca)).toBe('200\n');
    await expect(runHelmTest(hotmount, '/dev/null')).rejects.toThrow(/certificate/);
  });

  test('serves with a Secret of somebody else’s, and with what replaces it, without a restart', async () => {
    const home = 'hotmount-own-tls';
    const tls = join(cluster().directory, 'tls');
    await mkdir(tls, { recursive: true });
    const authority = await issueAuthority(1);
    const names = [`hotmount-webhook.${home}.svc`];
    const issue = async () => {
      const { cert, key } = await issueLeaf(authority, { names, days: 1 });
      await writeFile(join(tls, 'tls.crt'), cert);
      await writeFile(join(tls, 'tls.key'), key);
      return new X509Certificate(cert).fingerprint256;
    };
    await issue();
    const caBundle = Buffer.from(authority.cert).toString('base64');
    const values = { certificates: { source: 'existingSecret', existingSecret: { name: 'own', caBundle } } };
    const hotmount = await installed({ namespace: home, values, tls });
    const admitted = async () => {
      const { code, body } = await api.create('tenant', pod('own', { 'hotmount.io/lxcfs': 'true' }), 'dryRun=All');
      expect(code, body.message).toBe(201);
    };
    await admitted();
    expect(await runHelmTest(hotmount)).toBe('200\n');

    const renewed = await issue();
    const port = hotmount.replicas[0]?.port ?? 0;
    await expect.poll(() => servedOn(port, names[0] ?? ''), { timeout: 30_000 }).toBe(renewed);
    await admitted();
    // The webhook keeps its hands off what is not its own.
    expect(await cluster().tryKubectl(['get', 'secret', '-n', home, '-o', 'name'])).toMatchObject({
      stdout: expect.not.stringContaining('webhook-tls'),
    });
  });

  test('keeps its keys to itself while nothing would own their Secret, as when pods outlive an uninstallation', async () => {
    const hotmount = await installed();
    const secret = () => cluster().get('secret', 'hotmount-webhook-tls', '-n', hotmount.namespace);
    const { data } = await secret();
    const kinds = 'mutatingwebhookconfigurations,validatingwebhookconfigurations';
    await cluster().kubectl('delete', kinds, 'hotmount');
    await cluster().eventually(() => expect(secret()).rejects.toThrow('NotFound'));
    // It would be back within milliseconds.
    await sleep(2_000);
    await expect(secret()).rejects.toThrow('NotFound');
    expect(await hotmount.replicas[0]?.isReady()).toBe(true);

    await hotmount.helm('upgrade', 'hotmount', CHART);
    await cluster().eventually(async () => expect((await secret()).data).toEqual(data));
    expect((await secret()).metadata.ownerReferences).toMatchObject([{ name: 'hotmount' }]);
  });

  test('leaves nothing in its namespace, either', async () => {
    const hotmount = await installed();
    await cluster().kubectl('get', 'secret', 'hotmount-webhook-tls', '-n', hotmount.namespace);
    await Promise.all(hotmount.replicas.splice(0).map(({ process }) => process.stop('SIGKILL')));
    await cluster().helm('uninstall', 'hotmount', '-n', hotmount.namespace);
    await cluster().eventually(async () => {
      const left = await cluster().kubectl(
        'get',
        'all,secrets,configmaps,roles,rolebindings,serviceaccounts,networkpolicies,poddisruptionbudgets',
        '-n',
        hotmount.namespace,
        '-o',
        'name',
      );
      expect(left.trim().split('\n').sort()).toEqual(['configmap/kube-root-ca.crt', 'serviceaccount/default']);
    });
  });
});

/** The fingerprint of the certificate that a new connection gets. */
async function servedOn(port: number, servername: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

/** The names of all that is not in a namespace, and of what the namespaces hold, but for one namespace. */
async function everything(cluster: { kubectl(...args: string[]): Promise<string> }, except = ''): Promise<string[]> {
  const kinds = [
    'mutatingwebhookconfigurations',
    'validatingwebhookconfigurations',
    'clusterroles',
    'clusterrolebindings',
    'priorityclasses',
  ];
  const names = await cluster.kubectl('get', kinds.join(','), '-o', 'name');
  return names
    .split('\n')
    .filter((name) => name !== '' && !name.includes(except || '\n'))
    .sort();
}
