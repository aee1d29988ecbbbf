import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { freePort } from '../ports.ts';
import { onCleanup, scratch, until } from './support.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

it.each([
  ['the disk is full', () => openSync('/dev/full', 'w')],
  ['nobody reads', fullPipe],
] as const)('serves, and ends with 0 when it is told to, where %s behind its log', async (_, open) => {
  const stderr = await open();
  onCleanup(() => closeSync(stderr));
  const healthPort = await freePort();
  const ports = ['--port', '0', '--metrics-port', '0', '--health-port', String(healthPort), '--host', '127.0.0.1'];
  const args = ['webhook', '--tls-self-signed', '--drain-seconds', '0', ...ports];
  const webhook = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'ignore', stderr] });
  onCleanup(() => webhook.kill('SIGKILL'));
  const ended = once(webhook, 'exit');

  await until(() => isReady(healthPort));
  webhook.kill('SIGTERM');

  expect(await ended).toEqual([0, null]);
});

/** The writing end of a pipe that is full. */
async function fullPipe(): Promise<number> {
  const path = join(await scratch(), 'pipe');
  execFileSync('mkfifo', [path]);
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  for (const bytes of [Buffer.alloc(4096), Buffer.alloc(1)]) {
    try {
      while (writeSync(pipe, bytes) > 0);
    } catch {
      // EAGAIN: it is full.
    }
  }
  return pipe;
}

async function isReady(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/readyz`)).ok;
  } catch {
    return false;
  }
}
