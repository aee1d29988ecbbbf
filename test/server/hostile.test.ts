import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from 'undici';
import { describe, expect, it } from 'vitest';
import { SOAK } from '../settings.ts';
import { LXCFS, onCleanup, podWith, reviewOf, scratch, send, until } from './support.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const CLIENTS = join(import.meta.dirname, 'hostile-clients.ts');
/** The chart's limit. */
const MEMORY_LIMIT_KB = 384 * 1024;
const SECONDS = SOAK ? 60 : 4;
const A_SECOND = 20;

const KINDS: ReadonlyArray<[kind: string, count: number]> = [
  ['idle', SOAK ? 1_000 : 300],
  ['unfinished handshakes', SOAK ? 1_000 : 300],
  ['slow headers', SOAK ? 1_000 : 200],
  ['half bodies', SOAK ? 1_000 : 80],
  ['bodies in small chunks', SOAK ? 200 : 40],
];

describe('a webhook that strangers can reach', () => {
  it.each(KINDS)('loses no admission to %s (%i connections), and stays within its memory', async (kind, count) => {
    const { url, ca, metricsUrl, process } = await webhook();
    const keepingAlive = new Agent({ connect: { ca } });
    const alwaysNew = new Agent({ connect: { ca }, pipelining: 0 });
    onCleanup(() => keepingAlive.destroy());
    onCleanup(() => alwaysNew.destroy());
    const hostile = start([CLIENTS, kind, String(count), new URL(url).port]);
    await until(() => hostile.output().includes('holding'));

    const answers: Array<Promise<number | string>> = [];
    let memory = 0;
    for (let i = 0; i < SECONDS * A_SECOND; i++) {
      answers.push(
        send(`${url}/mutate/pods`, {
          method: 'POST',
          body: reviewOf(podWith(LXCFS)),
          headers: { 'content-type': 'application/json' },
          dispatcher: i % 4 === 0 ? alwaysNew : keepingAlive,
        }).then(
          ({ statusCode }) => statusCode,
          (error: Error) => error.message,
        ),
      );
      if (i % A_SECOND === 0) {
        memory = Math.max(memory, await residentKb(process));
        answers.push(send(`${metricsUrl}/readyz`, { method: 'GET' }).then(({ statusCode }) => statusCode));
      }
      await sleep(1_000 / A_SECOND);
    }
    expect([...new Set(await Promise.all(answers))]).toEqual([200]);
    expect(Math.max(memory, await residentKb(process))).toBeLessThan(MEMORY_LIMIT_KB);
  });
});

async function webhook() {
  const caFile = join(await scratch(), 'ca.crt');
  const ports = ['--port', '0', '--metrics-port', '0', '--host', '127.0.0.1'];
  const started = start([CLI, 'webhook', '--tls-self-signed', '--ca-file', caFile, ...ports]);
  await until(() => started.output().includes('"serving"'));
  const { url, metricsUrl } = JSON.parse(started.output().split('\n')[0] ?? '');
  return { url, metricsUrl, ca: await readFile(caFile, 'utf8'), process: started.process };
}

/** A process of Node's with what it has written so far. */
function start(args: readonly string[]): { process: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, args, { env: { ...process.env, MALLOC_ARENA_MAX: '1' } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  onCleanup(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  return { process: child, output: () => output };
}

/** The most that it has had so far, in KiB. */
async function residentKb({ pid }: ChildProcess): Promise<number> {
  return Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
