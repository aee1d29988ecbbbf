import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../test/ports.ts';
import { median } from './webhook/load.ts';

/**
 * From the start of the process to the first `/readyz` that says so, against Node itself starting with an empty program: from the sources,
 * with the compile cache that the second start finds, and as built (`npm run build`), with and without one, as in the image.
 */
const ROOT = join(import.meta.dirname, '..');
const VARIANTS = {
  sources: { cli: join(ROOT, 'src/cli.ts'), env: {} },
  built: { cli: join(ROOT, 'dist/cli.js'), env: {} },
  'built, no cache': { cli: join(ROOT, 'dist/cli.js'), env: { NODE_DISABLE_COMPILE_CACHE: '1' } },
};
const POLICY = join(import.meta.dirname, 'webhook/policy.yaml');

async function webhook({ cli, env }: (typeof VARIANTS)[keyof typeof VARIANTS]): Promise<number> {
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
  const child = spawn(cli, [...args, '--metrics-port', String(metricsPort)], {
    stdio: 'ignore',
    env: { ...process.env, ...env, PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter) },
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

execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT });
const names = Object.keys(VARIANTS) as (keyof typeof VARIANTS)[];
const rounds: Record<string, number>[] = [];
// The first start of each makes its cache.
for (const name of names) await webhook(VARIANTS[name]);
for (let i = 0; i < 10; i++) {
  const round: Record<string, number> = { node: await empty() };
  for (const name of names) round[name] = await webhook(VARIANTS[name]);
  rounds.push(round);
}
const of = (name: string): number => median(rounds.map((round) => round[name] ?? Number.NaN));
for (const name of names) {
  console.log(
    `start to ready, ${name}: ${of(name).toFixed(0)} ms; Node with an empty program: ${of('node').toFixed(0)} ms; ratio ${(of(name) / of('node')).toFixed(1)}`,
  );
}
