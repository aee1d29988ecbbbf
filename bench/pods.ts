import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../src/contract/json.ts';
import { isFileVolume, readVolumeAttributes, volumePath } from '../src/contract/volumes.ts';
import { prepareBinaries } from '../test/node/binaries.ts';
import { NODE_NAME } from '../test/node/configuration.ts';
import { prepareHotmountImage } from '../test/node/hotmount-image.ts';
import { Installation, NAMESPACE } from '../test/node/installation.ts';
import { Node } from '../test/node/node.ts';
import { namespace, pod } from '../test/node/objects.ts';
import { Rig } from '../test/system/support/rig.ts';
import { requireRoot } from './node/rig.ts';

/**
 * What hotmount costs on the real node of test/node: from `helm install` to the first annotated pod that is Ready; from `kubectl apply` of a
 * pod to Ready, with nothing of hotmount's, nine hostPath volumes and nine of the CSI driver, which take turns, so that what else the machine
 * does falls on all of them; and the memory of hotmount's pods, alone and with as many others as the kubelet takes.
 */
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 8);
/** The kubelet's default. */
const MAX_PODS = 110;
/** So long, in milliseconds, the kubelet's figures may be old, and programs take to come to rest. */
const REST_MS = 30_000;
const NS = 'edge-bench';
const ALL = { 'hotmount.io/lxcfs': 'true', 'hotmount.io/media': 'usb', 'hotmount.io/devices': 'raw' };
interface PodStats {
  readonly podRef: { readonly namespace: string; readonly name: string };
  readonly memory: { readonly workingSetBytes: number };
}
requireRoot();

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const node = await Node.start(await prepareBinaries(say), true);
const rig = new Rig();
try {
  await node.importImages(await prepareHotmountImage(say));
  await node.apply(namespace(NS, 'privileged'));
  await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', NS));
  const installing = performance.now();
  await new Installation(node, rig).install();
  const installed = performance.now() - installing;
  await node.apply(pod('first', ALL), '-n', NS);
  await ready('first');
  print(
    `helm install to ready: ${seconds(installed)}; to the first annotated pod that is Ready: ${seconds(performance.now() - installing)}`,
  );
  await node.kubectl('delete', 'pod', 'first', '-n', NS, '--timeout=120s');
  await sleep(REST_MS);
  await printMemory('no other pod');
  const csi = await injected();
  const kinds: Record<string, (name: string) => JsonObject> = {
    'nothing of hotmount’s': (name) => pod(name),
    hostPath: (name) => as(name, csi, hostPath),
    csi: (name) => as(name, csi, (volume) => volume),
  };
  const times = new Map(Object.keys(kinds).map((kind) => [kind, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [kind, make] of Object.entries(kinds)) {
      const name = `bench-${round}-${Object.keys(kinds).indexOf(kind)}`;
      const start = performance.now();
      await node.apply(make(name), '-n', NS);
      await ready(name);
      // The first is not counted: it is everybody's first.
      if (round > 0) times.get(kind)?.push(performance.now() - start);
      await node.kubectl('delete', 'pod', name, '-n', NS, '--timeout=120s');
    }
  }
  const medians = [...times].map(([kind, all]) => [kind, all.sort((a, b) => a - b)[all.length >> 1] ?? 0] as const);
  const base = medians[0]?.[1] ?? 1;
  for (const [kind, ms] of medians) {
    print(`created to Ready, ${kind}: ${ms.toFixed(0)} ms (${(ms / base).toFixed(2)}), median of ${ROUNDS}`);
  }
  const { items } = await node.get('pods', '-A');
  const names = Array.from({ length: MAX_PODS - items.length }, (_, i) => `pods-${i}`);
  await node.apply(
    names.map((name) => pod(name, { 'hotmount.io/lxcfs': 'true' })),
    '-n',
    NS,
  );
  await ready(...names);
  await sleep(REST_MS);
  await printMemory(`${names.length} pods with seven views each`);
} finally {
  await node.stop();
  await rig.close();
}
process.exit();

function ready(...names: string[]): Promise<string> {
  const pods = names.map((name) => `pod/${name}`);
  return node.kubectl('wait', '--for=condition=Ready', ...pods, '-n', NS, '--timeout=600s');
}

/** As cgroups count it and `kubectl top` shows it: the working set of each pod of hotmount's. */
async function printMemory(beside: string): Promise<void> {
  const summary = await node.kubectl('get', '--raw', `/api/v1/nodes/${NODE_NAME}/proxy/stats/summary`);
  const { pods } = JSON.parse(summary) as { pods: PodStats[] };
  const ours = pods.filter(({ podRef }) => podRef.namespace === NAMESPACE);
  const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MB`;
  const total = ours.reduce((sum, { memory }) => sum + memory.workingSetBytes, 0);
  const each = ours.map(({ podRef, memory }) => `${podRef.name}: ${megabytes(memory.workingSetBytes)}`).sort();
  print(`working set of hotmount's pods, ${beside}: ${megabytes(total)} (${each.join(', ')})`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** The spec of a pod that has been injected. */
async function injected(): Promise<JsonObject> {
  await node.apply(pod('model', ALL), '-n', NS);
  const { spec } = await node.get('pod', 'model', '-n', NS);
  await node.kubectl('delete', 'pod', 'model', '-n', NS);
  return spec;
}

/** A pod with the model's volumes and mounts, written by hand: no webhook is on the way but the one that judges them. */
function as(name: string, model: JsonObject, change: (volume: JsonObject) => JsonObject): JsonObject {
  const isOurs = (entry: JsonObject): boolean => String(entry['name']).startsWith('hotmount-');
  const volumes = (model['volumes'] as JsonObject[]).filter(isOurs).map(change);
  const [container] = model['containers'] as JsonObject[];
  const volumeMounts = ((container?.['volumeMounts'] ?? []) as JsonObject[]).filter(isOurs);
  return pod(name, {}, { volumes }, { volumeMounts });
}

function hostPath({ name, csi }: JsonObject): JsonObject {
  const read = readVolumeAttributes((csi as JsonObject)['volumeAttributes'] as JsonObject);
  if ('problem' in read) throw new Error(read.problem);
  const type = isFileVolume(read.volume) ? 'File' : 'Directory';
  return { name: name as string, hostPath: { path: volumePath(read.volume), type } };
}
