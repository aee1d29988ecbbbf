import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { Agent } from 'undici';
import { describe, expect, it } from 'vitest';
import { freePort } from '../ports.ts';
import { stubKubeconfig } from './fake-api-server.ts';
import { startLoad } from './load.ts';
import { type LogLine, LXCFS, onCleanup, podWith, reviewOf, scratch, send, until } from './support.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const PACKAGE = join(import.meta.dirname, '../../package.json');
const ANY_PORTS = ['--port', '0', '--metrics-port', '0', '--host', '127.0.0.1'];

describe('hotmount webhook', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('serves, drains on %s under load, and exits with 0', async (signal) => {
    const directory = await scratch();
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
      '6',
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

    // By rename: read half written, it would be broken twice.
    await writeFile(`${policy}.new`, 'kind: Polizei');
    await rename(`${policy}.new`, policy);
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

  it('drains on a SIGTERM that comes while it starts', async () => {
    const hotmount = run('--tls-self-signed', '--drain-seconds', '0', ...ANY_PORTS, { preload: SIGTERM_AT_LISTEN });
    expect(await hotmount.exit).toBe(0);
    expect(hotmount.lines.map(({ msg }) => msg)).toEqual([
      'serving',
      expect.stringMatching(/^draining: .*a second signal, or Ctrl-C, ends it at once$/),
      'drained and closed',
    ]);
  });

  it('is not ready before its CA is in the file for it', async () => {
    const directory = await scratch();
    const caFile = join(directory, 'ca.crt');
    // Who writes to a pipe waits until somebody reads.
    execFileSync('mkfifo', [caFile]);
    const metricsPort = await freePort();
    const ports = ['--host', '127.0.0.1', '--port', '0', '--metrics-port', String(metricsPort)];
    const hotmount = run('--tls-self-signed', '--ca-file', caFile, ...ports);
    const status = (path: string) =>
      send(`http://127.0.0.1:${metricsPort}${path}`, { method: 'GET' }).then(
        ({ statusCode }) => statusCode,
        () => undefined,
      );
    await until(async () => (await status('/healthz')) === 200);
    const { text } = await send(`http://127.0.0.1:${metricsPort}/readyz`, { method: 'GET' });
    expect(text).toBe('not ready: still loading the certificate\n');
    for (let i = 0; i < 50; i++) {
      expect(await status('/readyz')).toBe(503);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const ca = await readFile(caFile, 'utf8');
    const { url } = await hotmount.line('serving');
    const agent = new Agent({ connect: { ca } });
    onCleanup(() => agent.destroy());
    expect((await send(`${url}/readyz`, { method: 'GET', dispatcher: agent })).statusCode).toBe(200);
  });

  it('says that the CA cannot be written, with exit code 1', async () => {
    const hotmount = run('--tls-self-signed', '--ca-file', '/nowhere/ca.crt', ...ANY_PORTS);
    expect(await hotmount.exit).toBe(1);
    expect(hotmount.stderr()).toBe(
      'error: /nowhere/ca.crt: cannot be written: no such file or directory (ENOENT) (--ca-file)\n',
    );
  });

  it('warns of policy rules that depend on labels of namespaces, at the start and when the policy changes', async () => {
    const policy = join(await scratch(), 'policy.yaml');
    const write = (rule: string) =>
      writeFile(policy, `apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: [{ namespaces: ["*"], ${rule} }]\n`);
    await write('name: gold, namespaceLabels: { tier: [gold] }, allow: { lxcfs: true }');
    const hotmount = run('--tls-self-signed', '--policy', policy, ...ANY_PORTS);
    await hotmount.line('serving');
    const warned = () => hotmount.lines.filter(({ msg }) => msg.startsWith('these policy rules depend on labels'));
    expect(warned()).toMatchObject([{ level: 'warn', rules: ['gold'] }]);
    await write('name: preset, allow: { lxcfs: true }, defaults: { lxcfs: "true" }');
    await until(() => warned().length === 2);
    expect(warned()[1]).toMatchObject({ rules: ['preset'] });
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
    ['names without a CA', ['--tls-self-signed', '--tls-client-names', 'x'], 'give the CA'],
    [
      'a CA of clients that is none',
      ['--tls-self-signed', '--tls-client-ca', PACKAGE],
      'has no PEM certificate of a CA',
    ],
    ['an unknown level', ['--tls-self-signed', '--log-level', 'loud'], 'debug, info, warn, error, silent'],
    ['an unknown option', ['--tls-selfsigned'], 'Did you mean --tls-self-signed?'],
  ])('refuses %s with exit code 2, and says what to do', async (_, args, remedy) => {
    const hotmount = run(...args);
    expect(await hotmount.exit).toBe(2);
    expect(hotmount.stderr()).toContain(remedy);
    expect(hotmount.stderr()).toMatch(/^error: /);
  });

  it.each([
    ['a port is taken', 1, ['--policy-configmap', 'ns/policy', '--tls-self-signed'], 'another process uses it'],
    [
      'its certificate is not there',
      2,
      ['--policy-configmap', 'ns/policy', '--tls-cert', '/no/x', '--tls-key', '/no/y', '--metrics-port', '0'],
      '/no/x: cannot be read',
    ],
    [
      'its policy is broken',
      2,
      ['--policy', PACKAGE, '--tls-secret', 'ns/tls', '--service', 'ns/webhook', '--metrics-port', '0'],
      'package.json:2:3: ',
    ],
  ])('ends where %s, whatever it still waits for in the cluster', async (_, code, args, problem) => {
    // Takes connections, and never answers.
    const port = await takenPort();
    await stubKubeconfig(`http://127.0.0.1:${port}`);
    const hotmount = run('--host', '127.0.0.1', '--port', '0', '--metrics-port', String(port), ...args);
    expect(await hotmount.exit).toBe(code);
    expect(hotmount.stderr()).toContain(problem);
  });

  it('says which port is taken, with exit code 1', async () => {
    const port = await takenPort();
    const hotmount = run('--tls-self-signed', '--host', '127.0.0.1', '--port', String(port), '--metrics-port', '0');
    expect(await hotmount.exit).toBe(1);
    expect(hotmount.stderr()).toBe(
      `error: cannot listen on port ${port} of 127.0.0.1: another process uses it; end that, or choose another port (--port)\n`,
    );
  });
});

/** Sends the process a SIGTERM the first time that it would listen. */
const SIGTERM_AT_LISTEN = `
  import { Server } from 'node:net';
  const { listen } = Server.prototype;
  Server.prototype.listen = function (...args) {
    Server.prototype.listen = listen;
    process.kill(process.pid, 'SIGTERM');
    return listen.apply(this, args);
  };
`;

async function takenPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  onCleanup(() => server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** The real program, after a module that it imports first, where there is one. */
function run(...args: (string | { preload: string })[]) {
  const flags = args.filter((arg) => typeof arg === 'string');
  const preloads = args.filter((arg) => typeof arg !== 'string').map(({ preload }) => preload);
  const imports = preloads.flatMap((text) => ['--import', `data:text/javascript,${encodeURIComponent(text)}`]);
  const process: ChildProcess = spawn(globalThis.process.execPath, [...imports, CLI, 'webhook', ...flags]);
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
