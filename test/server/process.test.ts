import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent } from 'undici';
import { describe, expect, it } from 'vitest';
import { startLoad } from './load.ts';
import { type LogLine, LXCFS, onCleanup, podWith, reviewOf, send, until } from './support.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const ANY_PORTS = ['--port', '0', '--metrics-port', '0', '--host', '127.0.0.1'];

describe('hotmount webhook', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('serves, drains on %s under load, and exits with 0', async (signal) => {
    const directory = await mkdtemp(join(tmpdir(), 'hotmount-process-'));
    onCleanup(() => rm(directory, { recursive: true }));
    const caFile = join(directory, 'ca.crt');
    const policy = join(directory, 'policy.yaml');
    await writeFile(policy, await readFile(new URL('../../src/policy/default.yaml', import.meta.url)));
    const hotmount = run(
      '--tls-self-signed',
      '--ca-file',
      caFile,
      '--policy',
      policy,
      '--drain-seconds',
      '3',
      ...ANY_PORTS,
    );
    const serving = await hotmount.line('serving');
    expect(serving).toMatchObject({ policy, certificate: 'self-signed', startMs: expect.any(Number) });

    const agent = new Agent({ connect: { ca: await readFile(caFile, 'utf8') }, connections: 4 });
    onCleanup(() => agent.destroy());
    const review = reviewOf(podWith(LXCFS));
    const stop = startLoad(4, () =>
      send(`${serving['url']}/mutate/pods`, {
        method: 'POST',
        body: review,
        headers: { 'content-type': 'application/json' },
        dispatcher: agent,
      }),
    );
    await hotmount.line('decided');

    await writeFile(policy, 'kind: Polizei');
    expect((await hotmount.line('policy not reloaded, the last good one stays in force'))['level']).toBe('error');
    const metrics = await send(`${serving['metricsUrl']}/metrics`, { method: 'GET' });
    expect(metrics.text).toContain('hotmount_policy_reloads_total{outcome="failure"} 1');

    hotmount.process.kill(signal);
    await hotmount.line('draining');
    expect((await send(`${serving['metricsUrl']}/readyz`, { method: 'GET' })).statusCode).toBe(503);
    const { answers, errors } = await stop();
    expect(errors).toEqual([]);
    expect([...answers.keys()]).toEqual([200]);
    expect(await hotmount.exit).toBe(0);
    expect(hotmount.lines.at(-1)?.msg).toBe('drained and closed');
    expect(hotmount.stdout()).toBe('');
  });

  it('exits at once on a second signal', async () => {
    const hotmount = run('--tls-self-signed', '--drain-seconds', '3600', ...ANY_PORTS);
    await hotmount.line('serving');
    hotmount.process.kill('SIGTERM');
    await hotmount.line('draining');
    hotmount.process.kill('SIGINT');
    expect(await hotmount.exit).toBe(1);
    expect(hotmount.lines.at(-1)).toMatchObject({ signal: 'SIGINT', msg: 'ending at once: requests may fail' });
  });

  it.each([
    ['no certificate', [], '--tls-self-signed to try things out'],
    ['a certificate without its key', ['--tls-cert', 'x'], '--tls-cert without --tls-key'],
    ['a key without its certificate', ['--tls-key', 'x'], '--tls-key without --tls-cert'],
    ['two certificates', ['--tls-self-signed', '--tls-cert', 'x', '--tls-key', 'x'], 'choose one of them'],
    [
      'files that are not there',
      ['--tls-cert', '/no/x', '--tls-key', '/no/y'],
      '/no/x: cannot be read: no such file or directory',
    ],
    ['a CA file that nobody fills', ['--tls-cert', 'x', '--tls-key', 'x', '--ca-file', 'x'], 'leave them out'],
    ['a Service that is none', ['--tls-self-signed', '--service', 'webhook'], 'expected NAMESPACE/NAME'],
    ['a port that is none', ['--tls-self-signed', '--port', '65536'], '--port 65536: expected a whole number'],
    ['one port for both', ['--tls-self-signed', '--port', '9', '--metrics-port', '9'], 'they need one each'],
    ['a drain without end', ['--tls-self-signed', '--drain-seconds', '-1'], '--drain-seconds -1: expected'],
    ['an unknown level', ['--tls-self-signed', '--log-level', 'loud'], 'debug, info, warn, error, silent'],
    ['a policy that is not there', ['--tls-self-signed', '--policy', '/no/policy.yaml'], '/no/policy.yaml'],
    ['an unknown option', ['--tls-selfsigned'], 'Did you mean --tls-self-signed?'],
  ])('refuses %s with exit code 2, and says what to do', async (_, args, remedy) => {
    const hotmount = run(...args);
    expect(await hotmount.exit).toBe(2);
    expect(hotmount.stderr()).toContain(remedy);
    expect(hotmount.stderr()).toMatch(/^error: /);
  });

  it('says which port is taken, with exit code 1', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    onCleanup(() => other.close());
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const hotmount = run('--tls-self-signed', '--host', '127.0.0.1', '--port', String(port), '--metrics-port', '0');
    expect(await hotmount.exit).toBe(1);
    expect(hotmount.stderr()).toBe(
      `error: cannot listen on port ${port} of 127.0.0.1: another process has it; end that, or choose another port (--port)\n`,
    );
  });
});

/** The real program. */
function run(...args: string[]) {
  const process: ChildProcess = spawn(globalThis.process.execPath, [CLI, 'webhook', ...args]);
  onCleanup(() => process.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  process.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  process.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const exit = once(process, 'close').then(([code]) => code as number | null);
  const lines = (): LogLine[] =>
    stderr
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  return {
    process,
    exit,
    stdout: () => stdout,
    stderr: () => stderr,
    get lines() {
      return lines();
    },
    /** The first line with a message that begins so. */
    async line(message: string): Promise<LogLine> {
      const found = () => lines().find(({ msg }) => msg.startsWith(message));
      await until(() => found() !== undefined || process.exitCode !== null);
      const line = found();
      if (!line) throw new Error(`no "${message}" before it ended: ${stderr}`);
      return line;
    },
  };
}
