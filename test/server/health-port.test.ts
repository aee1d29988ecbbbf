import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunDir } from '../../src/node/run-dir/run-dir.ts';
import { startNodeServer } from '../../src/node/server.ts';
import { onCleanup, send, startRig } from './support.ts';

/** Opens so many connections that ask for nothing. */
async function hang(url: string, count: number): Promise<void> {
  const { port } = new URL(url);
  for (let i = 0; i < count; i++) {
    const socket: Socket = connect(Number(port), '127.0.0.1');
    onCleanup(() => socket.destroy());
    socket.on('error', () => {});
    await once(socket, 'connect');
  }
}
const status = async (url: string): Promise<number> => (await send(url, { method: 'GET' })).statusCode;

describe('health', () => {
  it('has a port of its own, whose slots nobody can take, however many connections ask for nothing', async () => {
    const { webhook } = await startRig({ healthPort: 0 });
    const { healthUrl = '', metricsUrl } = webhook;
    await hang(healthUrl, 200);
    await hang(metricsUrl, 200);
    expect(await status(`${healthUrl}/healthz`)).toBe(200);
    expect(await status(`${healthUrl}/readyz`)).toBe(200);
    expect(await status(`${healthUrl}/metrics`)).toBe(404);
    expect(await status(`${metricsUrl}/metrics`)).toBe(200);
  });

  it('of the node daemon is answered, however many connections ask for nothing', async () => {
    const work = mkdtempSync(join(tmpdir(), 'hotmount-health-'));
    onCleanup(() => rmSync(work, { recursive: true }));
    const answers = {
      notReady: () => undefined,
      metrics: async () => '',
      detail: async () => undefined,
      status: async () => {
        throw new Error('not asked for here');
      },
      eject: async () => ({ disks: [] }),
    };
    const server = await startNodeServer({ work } as RunDir, 0, '127.0.0.1', answers);
    onCleanup(() => server.close());
    const url = `http://127.0.0.1:${server.port}`;
    await hang(url, 200);
    expect(await status(`${url}/healthz`)).toBe(200);
    expect(await status(`${url}/readyz`)).toBe(200);
  });
});
