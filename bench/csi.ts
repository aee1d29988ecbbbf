import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../test/system/support/daemon.ts';
import { callOn, FakeKubelet, publishRequest } from '../test/system/support/fake-kubelet.ts';
import { Rig } from '../test/system/support/rig.ts';
import { requireRoot } from './node/rig.ts';

/**
 * What the CSI driver costs a node, beside the same daemon without it: memory, with nothing published and with 110 pods of seven volumes;
 * processor time of a published volume; and of an hour of idling, in which the kubelet asks for the capabilities of each volume every 90 s.
 */
const PODS = 110;
const VOLUMES = 7;
const POLICY = `apiVersion: hotmount.io/v1alpha1
kind: Policy
mediaClasses: [{ name: usb, match: [{ bus: [nobodys] }] }]
rules: [{ name: all, namespaces: ["*"], allow: { media: [usb] } }]
`;
const TICKS = 100;
requireRoot();

const rig = new Rig();
try {
  const without = await twice(new Daemon(rig, { policy: POLICY, runDir: 'without' }));
  const kubelet = new FakeKubelet(rig.path('kubelet'));
  const daemon = await twice(new Daemon(rig, { policy: POLICY, kubeletDir: 'kubelet' }));
  await kubelet.register();
  await sleep(2000);
  say('resident memory, no volume', megabytes(daemon), megabytes(without), 'MB');

  const client = kubelet.connect();
  const requests = Array.from({ length: PODS }, () => randomUUID()).flatMap((uid) =>
    Array.from({ length: VOLUMES }, (_, i) =>
      publishRequest(kubelet.target({ uid }, `v-${i}`), {
        media: 'usb',
        'csi.storage.k8s.io/pod.name': 'web',
        'csi.storage.k8s.io/pod.namespace': 'shop',
        'csi.storage.k8s.io/pod.uid': uid,
        'csi.storage.k8s.io/serviceAccount.name': 'default',
        'csi.storage.k8s.io/ephemeral': 'true',
      }),
    ),
  );
  const publish = async (): Promise<number> => {
    const before = cpu(daemon);
    for (const bytes of requests) {
      const { code, message } = await callOn(client, '/csi.v1.Node/NodePublishVolume', bytes);
      if (code !== 'OK') throw new Error(`${code}: ${message}`);
    }
    return ((cpu(daemon) - before) / requests.length) * 1e6;
  };
  const [first, again] = [await publish(), await publish()];
  process.stdout.write(
    `processor time of a volume, published: ${first.toFixed(0)} µs; again: ${again.toFixed(0)} µs\n`,
  );
  const before = cpu(daemon);
  for (const _ of requests) await callOn(client, '/csi.v1.Node/NodeGetCapabilities', new Uint8Array());
  const hour = (cpu(daemon) - before) * (3600 / 90);
  process.stdout.write(
    `processor time of an hour of idling with ${requests.length} volumes: ${hour.toFixed(1)} s (hostPath: 0)\n`,
  );
  await sleep(5000);
  say(`resident memory, ${requests.length} volumes`, megabytes(daemon), megabytes(without), 'MB');
  kubelet.close();
} finally {
  await rig.close();
}

/** A second start: the first fills the cache of what the sources compile to. */
async function twice(daemon: Daemon): Promise<Daemon> {
  await daemon.start();
  await daemon.stop();
  return daemon.start();
}

function megabytes(daemon: Daemon): number {
  return daemon.rss() / 1024;
}

/** Seconds, of all its threads. */
function cpu({ pid }: Daemon): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

function say(what: string, csi: number, none: number, unit: string): void {
  const ratio = (csi / none).toFixed(2);
  process.stdout.write(
    `${what}: ${csi.toFixed(0)} ${unit} with the driver, ${none.toFixed(0)} without (${ratio}; ${(csi - none).toFixed(0)} more)\n`,
  );
}
