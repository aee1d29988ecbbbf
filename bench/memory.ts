import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { selfSigned } from '../src/admission/index.ts';
import { fetchLxcfsStatus } from '../src/node/lxcfs/api.ts';
import { fetchStatus } from '../src/node/server.ts';
import { freePort } from '../test/ports.ts';
import { endLxcfs } from '../test/system/lxcfs/service.ts';
import { FakeKubelet } from '../test/system/support/fake-kubelet.ts';
import { Rig, until } from '../test/system/support/rig.ts';
import { fakeApiServer } from './memory/fake-api-server.ts';
import { cpuOf, type Memory, memoryOf } from './memory/processes.ts';
import { requireRoot } from './node/rig.ts';
import { connectTo } from './webhook/load.ts';
import { typicalReview } from './webhook/reviews.ts';

/**
 * Memory as kubelets count it against a pod's limit, without the files that the kernel can drop: anonymous, and the kernel's own. Of what
 * `npm run build` makes, started as in the images, beside a server of Node's that does nothing, and Node with an empty program.
 */
const ROOT = join(import.meta.dirname, '..');
const CLI = join(ROOT, 'dist/cli.js');
const REQUESTS = 20_000;
const ROUNDS = 20;
/** ms after which a start is over, and has given back what it left. */
const SETTLED = 8_000;
const ENVIRONMENT = {
  ...process.env,
  // The images have no place for a cache.
  NODE_DISABLE_COMPILE_CACHE: '1',
  PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter),
};

execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT });
const directory = mkdtempSync(join(tmpdir(), 'hotmount-memory-'));
const certificate = (await selfSigned()).current();
for (const name of ['cert', 'key'] as const) writeFileSync(join(directory, name), certificate[name]);
const review = typicalReview();
try {
  const answer = await measureWebhook();
  await measurePlainServer(answer);
  await measureEmpty();
} finally {
  rmSync(directory, { recursive: true });
}
requireRoot('lxcfs');
await measureNode();

/** @returns one of its answers */
async function measureWebhook(): Promise<string> {
  const kubeconfig = join(directory, 'kubeconfig');
  const api = await fakeApiServer(kubeconfig);
  const [port, metricsPort] = [await freePort(), await freePort()];
  const where = ['--host', '127.0.0.1', '--port', String(port), '--metrics-port', String(metricsPort)];
  const tls = ['--tls-cert', join(directory, 'cert'), '--tls-key', join(directory, 'key')];
  const child = spawn(CLI, ['webhook', '--policy-configmap', 'hotmount/policy', ...tls, ...where], {
    stdio: 'ignore',
    env: { ...ENVIRONMENT, KUBECONFIG: kubeconfig },
  });
  try {
    await until('it is ready', () => fetch(`http://127.0.0.1:${metricsPort}/readyz`).then(({ ok }) => ok));
    await underLoad('webhook with its watches', child, port);
    const client = connectTo(`https://127.0.0.1:${port}`, certificate.ca);
    return await client.post(review).finally(client.close);
  } finally {
    await end(child);
    api.close();
  }
}

async function measurePlainServer(answer: string): Promise<void> {
  const child = fork(join(import.meta.dirname, 'memory/plain-server.ts'), { env: ENVIRONMENT });
  child.send({ cert: certificate.cert, key: certificate.key, answer });
  const [port] = (await once(child, 'message')) as [number];
  await underLoad('a server of Node’s that does nothing', child, port).finally(() => end(child));
}

async function measureEmpty(): Promise<void> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
  await sleep(1000);
  say('Node with an empty program', [memoryOf(pidOf(child))]);
  await end(child);
}

/** Daemon and supervisor in processes of their own, as the chart's two pods have them. */
async function measureNode(): Promise<void> {
  const rig = new Rig();
  try {
    const [runDir, policy] = [rig.path('run'), rig.path('policy.yaml')];
    mkdirSync(runDir);
    writeFileSync(policy, rig.policy());
    const kubelet = new FakeKubelet(rig.path('kubelet'));
    const common = ['--run-dir', runDir, '--policy', policy];
    const start = (...args: string[]): ChildProcess => {
      const child = spawn(CLI, [...args, ...common], { stdio: 'ignore', env: ENVIRONMENT });
      rig.onClose('process', () => end(child));
      return child;
    };
    rig.onClose('process', () => endLxcfs(runDir));
    const supervisor = start('lxcfs');
    const csi = ['--kubelet-dir', kubelet.dir];
    const daemon = start('node', '--host', '127.0.0.1', '--metrics-port', '0', '--lxcfs', 'external', ...csi);
    await until('both are ready', async () => {
      const [node, lxcfs] = [await fetchStatus(runDir), await fetchLxcfsStatus(runDir)];
      return node?.daemon.ready && lxcfs?.settled;
    });
    await kubelet.register();
    await sleep(SETTLED);
    const [one, other] = [memoryOf(pidOf(daemon)), memoryOf(pidOf(supervisor))];
    say('node daemon with its CSI driver', [one]);
    say('supervisor of lxcfs', [other]);
    const sum = { anonymous: one.anonymous + other.anonymous, kernel: one.kernel + other.kernel };
    say('together (at most 80 MB anonymous)', [sum]);
    kubelet.close();
  } finally {
    await rig.close();
  }
}

async function underLoad(what: string, child: ChildProcess, port: number): Promise<void> {
  const pid = pidOf(child);
  await sleep(SETTLED);
  const before = memoryOf(pid);
  const client = connectTo(`https://127.0.0.1:${port}`, certificate.ca);
  const cpu = cpuOf(pid);
  const samples: Memory[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    await client.flood(review, REQUESTS / ROUNDS);
    samples.push(memoryOf(pid));
  }
  const each = ((cpuOf(pid) - cpu) / REQUESTS) * 1e6;
  // It goes up and down with each collection.
  const latter = samples.slice(ROUNDS / 2).sort((one, other) => one.anonymous - other.anonymous);
  const usual = latter[Math.floor(latter.length / 2)] as Memory;
  say(
    `${what}, before and in the second half of ${REQUESTS} requests`,
    [before, usual],
    `; ${each.toFixed(0)} µs CPU a request`,
  );
  await client.close();
}

function say(what: string, sizes: readonly Memory[], more = ''): void {
  const texts = sizes.map(
    ({ anonymous, kernel }) => `${(anonymous / 1e6).toFixed(0)} + ${(kernel / 1e6).toFixed(0)} MB`,
  );
  console.log(`${what}: ${texts.join(', ')} (anonymous + kernel)${more}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

function pidOf({ pid }: ChildProcess): number {
  if (pid === undefined) throw new Error('it could not be started');
  return pid;
}
