import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { parsePolicy } from '../../src/policy/index.ts';
import { SEED, SOAK } from '../settings.ts';
import { bodies } from './mutations.ts';
import { fixed, type Rig, startRig } from './support.ts';

const COUNT = SOAK ? 100_000 : 3_000;
const BATCH = 500;
const WIDTH = 8;
const MIB = 1024 * 1024;

/** Allows most, so that what is asked for gets as far as it can. */
const POLICY = parsePolicy(
  `apiVersion: hotmount.io/v1alpha1
kind: Policy
mediaClasses: [{ name: usb, match: [{ bus: [usb] }] }]
deviceClasses: [{ name: serial, match: [{ subsystem: [tty], devname: ["ttyUSB*"] }] }]
rules:
  - name: everything
    namespaces: ["*"]
    allow:
      lxcfs: true
      media: [usb]
      devices: [serial]
      dev: ["/**"]
      propagation: [None, HostToContainer, Bidirectional]
      capabilities: [ALL]
      uevents: [kernel, udev, udevd]
      privileged: true
    defaults: { lxcfs: "true" }
`,
  { file: 'policy.yaml' },
);

it(`answers ${COUNT} mutated and random bodies (seed ${SEED}) without a 5xx, and is none the larger for it`, async () => {
  let logged = 0;
  const log = pino({ base: null }, { write: () => void logged++ });
  const rig = await startRig({
    policy: fixed(POLICY),
    log,
    namespaceLabels: () => ({ 'hotmount.io/defaults': 'enabled' }),
    agent: { connections: WIDTH },
  });
  const codes = new Map<number, number>();

  await run(rig, BATCH, 0, codes);
  const before = usage();
  await run(rig, COUNT, 1, codes);
  const after = usage();

  expect([...codes.keys()].sort()).toEqual([200, 400]);
  expect(codes.get(200)).toBeGreaterThan(COUNT / 10);
  expect(codes.get(400)).toBeGreaterThan(COUNT / 10);
  expect(logged).toBe(COUNT + BATCH);
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
  expect(after.heap - before.heap).toBeLessThan(8 * MIB);
});

async function run(rig: Rig, count: number, phase: number, codes: Map<number, number>): Promise<void> {
  for (let done = 0; done < count; done += BATCH) {
    const batch = fc.sample(bodies, { numRuns: Math.min(BATCH, count - done), seed: SEED + phase + done });
    await Promise.all(
      Array.from({ length: WIDTH }, async (_, client) => {
        for (let i = client; i < batch.length; i += WIDTH) {
          const body = batch[i] ?? '';
          const path = i % 3 === 0 ? '/mutate/workloads' : '/mutate/pods';
          const { statusCode, text } = await rig.post(path, body);
          if (statusCode >= 500) throw new Error(`${path} gave ${statusCode} ${text} for ${body}`);
          codes.set(statusCode, (codes.get(statusCode) ?? 0) + 1);
        }
      }),
    );
  }
}

/** What is held after all garbage has gone. */
function usage() {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return {
    heap: process.memoryUsage().heapUsed,
    descriptors: readdirSync('/proc/self/fd').length,
  };
}
