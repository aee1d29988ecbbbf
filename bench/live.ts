import { performance } from 'node:perf_hooks';
import { prepareBinaries } from '../test/node/binaries.ts';
import { prepareHotmountImage } from '../test/node/hotmount-image.ts';
import { Installation } from '../test/node/installation.ts';
import { Node } from '../test/node/node.ts';
import { namespace, pod } from '../test/node/objects.ts';
import { LoopDisk } from '../test/system/support/disks.ts';
import { Rig } from '../test/system/support/rig.ts';
import { requireRoot } from './node/rig.ts';

/**
 * From `kubectl annotate` of a running pod until a stick that is plugged in can be read in it, on the real node of test/node; beside deleting
 * the pod and creating it with the annotation. Every fifth time the other has its turn, so that what else the machine does falls on both.
 */
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 50);
const EVERY = 5;
const NS = 'edge-bench';
/** When the container sees what the kubelet has written, and when it reads the stick; in s, by a clock of 10 ms. */
const WATCH = `
until grep -q ^hotmount.io/media= /hotmount/.annotations/annotations; do usleep 1000; done; cut -d ' ' -f 1 /proc/uptime
until cat /hotmount/media/usb/STICK/hello >/dev/null 2>&1; do usleep 1000; done; cut -d ' ' -f 1 /proc/uptime`;
requireRoot();

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const node = await Node.start(await prepareBinaries(say), true);
const rig = new Rig();
try {
  await node.importImages(await prepareHotmountImage(say));
  await new Installation(node, rig).install();
  await node.apply(namespace(NS, 'privileged'));
  await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', NS));
  const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'from the disk' } });
  disk.plug();
  await create('live', { 'hotmount.io/live': 'true' });
  await create('anew', {});
  const times = { annotated: [] as number[], own: [] as number[], anew: [] as number[] };
  for (let round = 0; round <= ROUNDS; round++) {
    const annotated = await timed(async () => {
      await node.kubectl('annotate', 'pod', 'live', 'hotmount.io/media=usb', '-n', NS);
      const [told = 0, read = 0] = (await node.exec(NS, 'live', 'sh', '-c', WATCH)).split('\n').map(Number);
      if (round > 0) times.own.push((read - told) * 1000);
    });
    // The first is not counted: it is everybody's first.
    if (round > 0) times.annotated.push(annotated);
    if (round % EVERY === 0) {
      const anew = await timed(async () => {
        await node.kubectl('delete', 'pod', 'anew', '-n', NS, '--timeout=120s');
        await create('anew', { 'hotmount.io/media': 'usb' });
        await untilReads('anew', '/media/usb/STICK/hello');
      });
      if (round > 0) times.anew.push(anew);
    }
    await node.kubectl('annotate', 'pod', 'live', 'hotmount.io/media-', '-n', NS);
    await node.exec(NS, 'live', 'sh', '-c', 'while [ -e /hotmount/media/usb ]; do usleep 1000; done');
  }
  disk.pull();
  const base = median(times.annotated);
  tell('a running pod annotated until it reads the stick', times.annotated, base);
  tell('of that, from when the kubelet has written the annotation', times.own, base);
  tell('a pod deleted and created anew until it does', times.anew, base);
} finally {
  await node.stop();
  await rig.close();
}
process.exit();

async function create(name: string, annotations: Record<string, string>): Promise<void> {
  await node.apply(pod(name, annotations), '-n', NS);
  await node.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '-n', NS, '--timeout=120s');
}

/** A loop in the container: to ask by kubectl each time would take longer than what is measured. */
async function untilReads(name: string, path: string): Promise<void> {
  await node.exec(NS, name, 'sh', '-c', `until cat ${path} >/dev/null 2>&1; do usleep 1000; done`);
}

async function timed(action: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

function median(all: readonly number[]): number {
  return all.toSorted((a, b) => a - b)[all.length >> 1] ?? 0;
}

function tell(what: string, all: readonly number[], base: number): void {
  const ms = (value: number): string => value.toFixed(0);
  process.stdout.write(
    `${what}: ${ms(median(all))} ms (${(median(all) / base).toFixed(1)}), ${ms(Math.max(...all))} at worst, of ${all.length}\n`,
  );
}
