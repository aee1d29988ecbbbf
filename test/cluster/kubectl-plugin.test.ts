import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ClusterStatus } from '../../src/commands/kubectl/cluster-status.ts';
import type { JsonObject } from '../../src/contract/json.ts';
import { execute } from '../execute.ts';
import { freePorts } from '../ports.ts';
import { describeInCluster } from './describe-in-cluster.ts';
import { FakeHungKubelet } from './fake-kubelet.ts';
import { type Installation, install } from './installation.ts';
import { deployment, namespace } from './objects.ts';

const PLUGIN = join(import.meta.dirname, '../../src/kubectl-hotmount.ts');
const SHOP = 'shop-plugin';
/** A tenant's, who labels pods as hotmount's are. It sorts before all others. */
const TENANT = 'aaa-plugin';

describeInCluster('kubectl hotmount', (cluster) => {
  let hotmount: Installation;
  let hung: FakeHungKubelet;
  /** With another's rights than the admin's. */
  let clerk: string;

  beforeAll(async () => {
    hotmount = await install(cluster());
    hung = await FakeHungKubelet.listen();
    const [nobody = 0] = await freePorts(1);
    await cluster().apply(namespace(SHOP));
    await cluster().eventually(() => cluster().kubectl('get', 'serviceaccount', 'default', '-n', SHOP));
    await cluster().apply(deployment('web', 1, { 'hotmount.io/lxcfs': 'meminfo' }), '-n', SHOP);
    await addNode('hung', hung.port);
    await addNode('refusing', nobody);
    await addNode('bare', undefined);
    await cluster().apply(namespace(TENANT));
    await cluster().eventually(() => cluster().kubectl('get', 'serviceaccount', 'default', '-n', TENANT));
    for (const node of ['hung', 'bare']) await addPod(`tenant-${node}`, node, 'node', TENANT);
    await addPod('tenant-webhook', 'bare', 'webhook', TENANT);
    await cluster().kubectl('create', 'serviceaccount', 'clerk', '-n', SHOP);
    await cluster().kubectl('create', 'clusterrole', 'clerk', '--verb=list', '--resource=pods,nodes');
    await cluster().kubectl(
      'create',
      'clusterrolebinding',
      'clerk',
      '--clusterrole=clerk',
      `--serviceaccount=${SHOP}:clerk`,
    );
    clerk = await cluster().kubeconfigOf(SHOP, 'clerk');
  });
  afterAll(async () => {
    hung?.close();
    await cluster().kubectl('delete', 'node', 'hung', 'refusing', 'bare');
    await cluster().kubectl('delete', 'clusterrole,clusterrolebinding', 'clerk');
    await cluster().kubectl('delete', 'namespace', SHOP, TENANT, '--wait=false');
    await hotmount?.stop();
  });

  /** A node, with a pod of the daemon as the chart makes it where there is a port for its kubelet. */
  async function addNode(name: string, port: number | undefined): Promise<void> {
    const kubeletEndpoint = { Port: port };
    await cluster().apply({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels: { 'kubernetes.io/os': 'linux' } },
    });
    if (port === undefined) return;
    const status = { addresses: [{ type: 'InternalIP', address: '127.0.0.1' }], daemonEndpoints: { kubeletEndpoint } };
    await cluster().kubectl(
      'patch',
      'node',
      name,
      '--subresource=status',
      '--type=merge',
      '-p',
      JSON.stringify({ status }),
    );
    await addPod(`daemon-${name}`, name, 'node', hotmount.namespace);
  }

  /** A ready pod, labelled as the chart labels those of the component. In hotmount's namespace, it is its DaemonSet's. */
  async function addPod(name: string, nodeName: string, component: 'node' | 'webhook', where: string): Promise<void> {
    const kind = component === 'node' ? 'DaemonSet' : 'Deployment';
    const workload = await cluster().get(kind, `hotmount-${component}`, '-n', hotmount.namespace);
    const { metadata, spec } = workload.spec.template;
    const { uid } = workload.metadata;
    const ownerReferences = [{ apiVersion: 'apps/v1', kind, name: workload.metadata.name, uid, controller: true }];
    const pod: JsonObject = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels: metadata.labels, ...(where === hotmount.namespace ? { ownerReferences } : {}) },
      spec: { containers: [{ name: component, image: spec.containers[0].image }], nodeName },
    };
    await cluster().apply(pod, '-n', where);
    const containerStatuses = [{ name: component, ready: true, restartCount: 0, image: '', imageID: '' }];
    const running = JSON.stringify({ status: { phase: 'Running', containerStatuses } });
    await cluster().kubectl('patch', 'pod', name, '-n', where, '--subresource=status', '--type=merge', '-p', running);
  }

  const plugin = (args: readonly string[], kubeconfig = cluster().kubeconfig) =>
    execute([process.execPath, PLUGIN, ...args], '', { ...process.env, KUBECONFIG: kubeconfig });

  test('says of each node why it does not answer, and waits for none longer than it is told', async () => {
    const { code, stdout, stderr } = await plugin(['status', '-o', 'json', '--timeout', '3']);
    expect(stderr).toBe('');
    const { nodes, policy } = JSON.parse(stdout) as ClusterStatus;
    expect(code).toBe(1);
    expect(policy).toMatchObject({
      configMap: `${hotmount.namespace}/hotmount-policy`,
      digest: expect.stringMatching(/^[0-9a-f]{12}$/),
    });
    expect(nodes).toEqual([
      { node: 'bare', problem: 'no hotmount node runs there' },
      { node: 'hung', pod: `${hotmount.namespace}/daemon-hung`, problem: 'no answer within 3 s (--timeout)' },
      {
        node: 'refusing',
        pod: `${hotmount.namespace}/daemon-refusing`,
        problem: expect.stringContaining('connection refused'),
      },
    ]);
  });

  test('asks no pod of a tenant who labels it as hotmount’s', async () => {
    const ejected = await plugin(['eject', 'bare/sdb', '--timeout=3']);
    expect(ejected).toMatchObject({ code: 2, stdout: '' });
    expect(ejected.stderr).toMatch(/^error: no hotmount node of .* runs on bare; it runs on (?:hung|refusing), /);
    const { stdout } = await plugin(['check', '-n', SHOP, '--timeout=3']);
    expect(stdout).toContain(`Pod Security: ${hotmount.namespace} may have`);
    expect(stdout).not.toContain(TENANT);
    expect(stdout).toContain('webhook runs: 0 of ');
  });

  test('shows the same as a table', async () => {
    const { code, stdout } = await plugin(['status', '--timeout=3']);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^NODE +STATE .*\nbare +unknown /);
    expect(stdout).toMatch(/\nPROBLEMS\nNODE +WHAT\nbare +no hotmount node runs there\n/);
  });

  test('names the right that its user lacks', async () => {
    const blind = await plugin(['status', '--timeout=5'], clerk);
    expect(blind).toMatchObject({ code: 2, stdout: '' });
    expect(blind.stderr).toMatch(/the right to list mutatingwebhookconfigurations.*--system-namespace/);
    const { code, stdout } = await plugin(['status', '--timeout=5', '--system-namespace', hotmount.namespace], clerk);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /hung +pods "daemon-hung" is forbidden: .*cannot (?:create|get) resource "pods\/exec".*it takes the right to create pods\/exec there/,
    );
    const nothing = await plugin(
      ['status', '--system-namespace', hotmount.namespace],
      await cluster().kubeconfigOf(SHOP, 'default'),
    );
    expect(nothing).toMatchObject({ code: 1, stdout: '' });
    expect(nothing.stderr).toMatch(/^error: pods is forbidden: .* cannot list resource "pods"/);
  });

  test('explains a Deployment and its pods by the policy', async () => {
    await cluster().eventually(async () => {
      const { stdout, stderr } = await plugin(['explain', 'deploy/web', '-n', SHOP]);
      expect(stderr).toBe('');
      expect(stdout).toMatch(
        new RegExp(
          `^Deployment ${SHOP}/web\\n  the policy gives it:\\n    CONTAINER +FEATURE +ITEM +RULE\\n    app +lxcfs +meminfo +everyone\\n`,
        ),
      );
      expect(stdout).toMatch(new RegExp(`\\nPod ${SHOP}/web-\\w+-\\w+, on no node, Pending\\n`));
      expect(stdout).toMatch(/app +lxcfs +meminfo +on no node yet\n {2}by the rules: everyone\n/);
    });
    const missing = await plugin(['explain', 'deploy/nosuch', '-n', SHOP]);
    expect(missing).toMatchObject({ code: 1, stderr: 'error: deployments.apps "nosuch" not found (404)\n' });
    expect((await plugin(['explain', 'replicaset/x', '-n', SHOP])).code).toBe(2);
  });

  test('checks the installation, with a remedy for each thing that is not well', async () => {
    const { code, stdout } = await plugin(['check', '-n', SHOP, '--timeout=3']);
    expect(code).toBe(1);
    // The webhook of these tests is a process, and no pod.
    expect(stdout).toMatch(/^ERROR +webhook runs: 0 of \d+ webhook pods are ready\n +→ kubectl describe pods/m);
    expect(stdout).toMatch(/^ok +webhook answers: the API server has asked it/m);
    expect(stdout).toMatch(/^ok +certificates: the caBundle of MutatingWebhookConfiguration is valid until \d{4}/m);
    expect(stdout).toMatch(/^ok +CSI driver: /m);
    expect(stdout).toMatch(/^ERROR +node daemons: hung: no answer within 3 s/m);
    expect(stdout).toMatch(/^ok +Pod Security: /m);
  });

  test('says how a node and a disk are named, and where hotmount runs', async () => {
    expect(await plugin(['eject', 'sdb'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('expected NODE/DISK'),
    });
    expect((await plugin(['eject', 'nosuch/sdb'])).stderr).toMatch(
      /^error: no hotmount node of .* runs on nosuch; it runs on /,
    );
    expect((await plugin(['eject', 'hung/sdb; reboot'])).code).toBe(2);
  });

  test('takes the flags of kubectl', async () => {
    const known = await plugin(['status', '--context', 'nosuch']);
    expect(known).toMatchObject({ code: 2, stderr: 'error: --context nosuch: the kubeconfig has test\n' });
    const file = await execute(
      [process.execPath, PLUGIN, 'status', '--timeout=3', '-A', '--kubeconfig', cluster().kubeconfig],
      '',
      {
        ...process.env,
        KUBECONFIG: '/nowhere',
      },
    );
    expect(file.stdout).toContain('\nbare ');
    expect((await plugin(['status'], '/nowhere')).code).toBe(2);
    const other = await plugin(['status', '--system-namespace', 'default']);
    expect(other).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no pod of hotmount node is in the namespace default'),
    });
  });
});
