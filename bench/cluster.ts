/**
 * What hotmount adds to the creation of a pod, as a real API server measures it, next to the same mounts by an in-tree
 * MutatingAdmissionPolicy: `node bench/cluster.ts [pods]`. And the memory of a webhook that watches a cluster.
 */
import { readFileSync } from 'node:fs';
import type { JsonObject } from '../src/contract/json.ts';
import { LXCFS_VIEWS } from '../src/contract/wants.ts';
import { defaultPolicy } from '../src/policy/index.ts';
import type { ApiClient } from '../test/cluster/api-client.ts';
import { prepareBinaries } from '../test/cluster/binaries.ts';
import { type Cluster, startCluster } from '../test/cluster/cluster.ts';
import { install } from '../test/cluster/installation.ts';
import { namespace, pod } from '../test/cluster/objects.ts';

const PODS = Number(process.argv[2] ?? 1_000);
const NAMESPACES = 200;
const NAMESPACE = 'bench';

const { views } = defaultPolicy().lxcfs;

/** The same mounts as hotmount's of an lxcfs of the node's own, by a policy of the API server's. */
function inTreePolicy(apiVersion: string): JsonObject[] {
  const volumes = views.map((view) => {
    const hostPath = `path: "/var/lib/lxcfs${LXCFS_VIEWS[view]}", type: "${view === 'cpu' ? 'Directory' : 'File'}"`;
    return `Object.spec.volumes{name: "lxcfs-${view}", hostPath: Object.spec.volumes.hostPath{${hostPath}}}`;
  });
  const mounts = views.map(
    (view) =>
      `Object.spec.containers.volumeMounts{name: "lxcfs-${view}", mountPath: "${LXCFS_VIEWS[view]}", readOnly: true}`,
  );
  const expression = `Object{spec: Object.spec{volumes: [${volumes.join(', ')}], containers: object.spec.containers.map(c, Object.spec.containers{name: c.name, volumeMounts: [${mounts.join(', ')}]})}}`;
  return [
    {
      apiVersion,
      kind: 'MutatingAdmissionPolicy',
      metadata: { name: 'in-tree-lxcfs' },
      spec: {
        matchConstraints: {
          resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        },
        matchConditions: [
          {
            name: 'asks',
            expression: "has(object.metadata.annotations) && 'example.com/lxcfs' in object.metadata.annotations",
          },
        ],
        failurePolicy: 'Fail',
        reinvocationPolicy: 'IfNeeded',
        mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }],
      },
    },
    {
      apiVersion,
      kind: 'MutatingAdmissionPolicyBinding',
      metadata: { name: 'in-tree-lxcfs' },
      spec: { policyName: 'in-tree-lxcfs' },
    },
  ];
}

interface Histogram {
  readonly sum: number;
  readonly count: number;
}

/** Sum and count of a histogram of the API server's, of the series that contain all of the labels. */
function histogram(metrics: string, name: string, ...labels: string[]): Histogram {
  const total = (suffix: string) =>
    metrics
      .split('\n')
      .filter((line) => line.startsWith(`${name}_${suffix}{`) && labels.every((label) => line.includes(label)))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  return { sum: total('sum'), count: total('count') };
}

const CONTROLLER = 'apiserver_admission_controller_admission_duration_seconds';
const WEBHOOK = 'apiserver_admission_webhook_admission_duration_seconds';

async function measure(cluster: Cluster, api: ApiClient, annotations: Record<string, string>) {
  const before = await cluster.apiServerMetrics();
  const times: number[] = [];
  for (let i = 0; i < PODS; i++) {
    const start = performance.now();
    const answer = await api.create(NAMESPACE, pod(`pod-${i}`, annotations), 'dryRun=All');
    times.push(performance.now() - start);
    if (answer.code !== 201) throw new Error(answer.body.message);
    const mounted = answer.body.spec.containers[0].volumeMounts.length - 1;
    const expected = Object.keys(annotations).length > 0 ? views.length : 0;
    if (mounted !== expected) throw new Error(`${mounted} mounts instead of ${expected}`);
  }
  const after = await cluster.apiServerMetrics();
  const perPod = (name: string, ...labels: string[]) => {
    const [from, to] = [histogram(before, name, ...labels), histogram(after, name, ...labels)];
    return ((to.sum - from.sum) / PODS) * 1e3;
  };
  times.sort((a, b) => a - b);
  return {
    median: times[Math.floor(PODS / 2)] ?? 0,
    p99: times[Math.floor(PODS * 0.99)] ?? 0,
    webhook: perPod(WEBHOOK, 'name="pods.hotmount.io"'),
    webhooks: perPod(CONTROLLER, 'name="MutatingAdmissionWebhook"', 'operation="CREATE"'),
    policies: perPod(CONTROLLER, 'name="MutatingAdmissionPolicy"', 'operation="CREATE"'),
  };
}

const rssOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

const binaries = await prepareBinaries((line) => console.error(line)).catch((error: Error) => {
  console.log(`left out: ${error.message}`);
  process.exit();
});
const cluster = await startCluster(binaries);
try {
  const api = await cluster.apiClient();
  const hotmount = await install(cluster);
  const pid = hotmount.replicas[0]?.process.pid ?? 0;
  console.log(`webhook, watching an empty cluster: ${rssOf(pid).toFixed(0)} MB RSS`);
  await cluster.apply([namespace(NAMESPACE), ...Array.from({ length: NAMESPACES }, (_, i) => namespace(`ns-${i}`))]);
  await cluster.eventually(() => cluster.kubectl('get', 'serviceaccount', 'default', '-n', NAMESPACE));
  const { groups } = await cluster
    .kubectl('get', '--raw', '/apis')
    .then((text) => JSON.parse(text) as { groups: Array<{ name: string; versions: Array<{ version: string }> }> });
  const served = groups.find(({ name }) => name === 'admissionregistration.k8s.io')?.versions ?? [];
  const resources = await cluster.kubectl('api-resources', '--api-group=admissionregistration.k8s.io');
  const version = /admissionregistration\.k8s\.io\/(\S+)\s+false\s+MutatingAdmissionPolicy$/m.exec(resources)?.[1];
  if (version === undefined) throw new Error(`no MutatingAdmissionPolicy among ${served.map((s) => s.version).join()}`);
  await cluster.apply(inTreePolicy(`admissionregistration.k8s.io/${version}`));
  await cluster.eventually(async () => {
    const { body } = await api.create(NAMESPACE, pod('probe', { 'example.com/lxcfs': 'true' }), 'dryRun=All');
    if ((body.spec?.containers[0].volumeMounts.length ?? 0) < 2) throw new Error(JSON.stringify(body));
  });

  const cases = {
    'nothing asked': {},
    'hotmount.io/lxcfs': { 'hotmount.io/lxcfs': 'true' },
    'in-tree policy': { 'example.com/lxcfs': 'true' },
  };
  for (const annotations of Object.values(cases)) await measure(cluster, api, annotations);
  console.log(
    `${PODS} pods each, one after the other, dry-run; milliseconds a pod (the API server calls each admission twice where one has changed the pod)`,
  );
  console.log(
    '| | create, median | p99 | this webhook | all webhooks | all policies |\n| --- | --- | --- | --- | --- | --- |',
  );
  for (const [name, annotations] of Object.entries(cases)) {
    const { median, p99, webhook, webhooks, policies } = await measure(cluster, api, annotations);
    console.log(`| ${name} | ${[median, p99, webhook, webhooks, policies].map((ms) => ms.toFixed(2)).join(' | ')} |`);
  }
  console.log(`webhook, ${NAMESPACES} namespaces, after ${2 * PODS} admissions: ${rssOf(pid).toFixed(0)} MB RSS`);
  await api.close();
  await hotmount.stop();
} finally {
  await cluster.stop();
}
process.exit(0);
