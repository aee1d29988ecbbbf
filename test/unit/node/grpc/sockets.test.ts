import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { serveOnSocket } from '../../../../src/node/grpc/sockets.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hotmount-sockets-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

it('a socket that cannot be put in its place is served no more, however often it is tried', async () => {
  mkdirSync(join(dir, 'csi.sock/in-the-way'), { recursive: true });
  for (let tries = 0; tries < 3; tries++)
    await expect(serveOnSocket(join(dir, 'csi.sock'), [])).rejects.toMatchObject({ code: 'EISDIR' });
  for (const name of readdirSync(dir)) {
    if (name === 'csi.sock') continue;
    const code = await new Promise((resolve) => {
      connect(join(dir, name))
        .on('error', ({ code }: NodeJS.ErrnoException) => resolve(code))
        .on('connect', () => resolve('answered'));
    });
    expect(code).toBe('ECONNREFUSED');
  }
});
