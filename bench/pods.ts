import { performance } from 'node:perf_hooks';
import type { JsonObject } from '../src/contract/json.ts';
import { isFileVolume, readVolumeAttributes, volumePath } from '../src/contract/volumes.ts';
import { prepareBinaries } from '../test/node/binaries.ts';
import { prepareHotmountImage } from '../test/node/hotmount-image.ts';
import { Installation } from '../test/node/installation.ts';
import { Node } from '../test/node/node.ts';
import { namespace, pod } from '../test/node/objects.ts';
import { Rig } from '../test/system/support/rig.ts';
import { requireRoot } from './node/rig.ts';

/**
 * From `kubectl apply` of a pod to Ready, on the real node of test/node: nothing of hotmount's, nine hostPath volumes, nine of the CSI
 * driver. They take turns, so that what else the machine does falls on all of them.
 */
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 8);
const NS = 'edge-bench';
const ALL = { 'hotmount.io/lxcfs': 'true', 'hotmount.io/media': 'usb', 'hotmount.io/devices': 'raw' };
requireRoot();

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const node = await Node.start(await prepareBinaries(say), true);
const rig = new Rig();
try {
  await node.importImages(await prepareHotmountImage(say));
  await new Installation(node, rig).install();
  await node.apply(namespace(NS, 'privileged'));
  await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', NS));
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
      await node.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '-n', NS, '--timeout=120s');
      // The first is not counted: it is everybody's first.
      if (round > 0) times.get(kind)?.push(performance.now() - start);
      await node.kubectl('delete', 'pod', name, '-n', NS, '--timeout=120s');
    }
  }
  const medians = [...times].map(([kind, all]) => [kind, all.sort((a, b) => a - b)[all.length >> 1] ?? 0] as const);
  const base = medians[0]?.[1] ?? 1;
  for (const [kind, ms] of medians) {
    process.stdout.write(
      `created to Ready, ${kind}: ${ms.toFixed(0)} ms (${(ms / base).toFixed(2)}), median of ${ROUNDS}\n`,
    );
  }
} finally {
  await node.stop();
  await rig.close();
}
process.exit();

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
