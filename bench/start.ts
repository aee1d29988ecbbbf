import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../test/ports.ts';
import { median } from './webhook/load.ts';

/** From the start of the process to the first `/readyz` that says so, against Node itself starting with an empty program. */
const CLI = join(import.meta.dirname, '../src/cli.ts');
const POLICY = join(import.meta.dirname, 'webhook/policy.yaml');

async function webhook(): Promise<number> {
  const metricsPort = await freePort();
  const args = [
    'webhook',
    '--policy',
    POLICY,
    '--tls-self-signed',
    '--host',
    '127.0.0.1',
    '--port',
    String(await freePort()),
  ];
  const start = performance.now();
  // By the program's first line, as users start it: it has the flags that save memory.
  const child = spawn(CLI, [...args, '--metrics-port', String(metricsPort)], {
    stdio: 'ignore',
    env: { ...process.env, PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter) },
  });
  const isReady = () =>
    fetch(`http://127.0.0.1:${metricsPort}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await isReady())) {
    if (performance.now() - start > 20_000) throw new Error('the webhook was not ready in 20 s');
    await sleep(2);
  }
  const took = performance.now() - start;
  child.kill('SIGKILL');
  await once(child, 'exit');
  return took;
}

async function empty(): Promise<number> {
  const start = performance.now();
  await once(spawn(process.execPath, ['-e', ''], { stdio: 'ignore' }), 'exit');
  return performance.now() - start;
}

const figures: { ours: number; node: number }[] = [];
for (let i = 0; i < 10; i++) figures.push({ ours: await webhook(), node: await empty() });
const ours = median(figures.map((f) => f.ours));
const node = median(figures.map((f) => f.node));
console.log(
  `start to ready: ${ours.toFixed(0)} ms; Node with an empty program: ${node.toFixed(0)} ms; ratio ${(ours / node).toFixed(1)}`,
);
