import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { call, defineService } from '../../../../src/node/grpc/services.ts';
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

it('a socket is answered until it is closed', async () => {
  const path = join(dir, 'echo.sock');
  const bytes = (value: unknown): Buffer => Buffer.from(value as Uint8Array);
  const echo = call({ read: (sent) => sent, write: bytes, answer: (sent: Uint8Array) => sent });
  const server = await serveOnSocket(path, [defineService('test.Echo', { Echo: echo }, () => {})]);
  const client = new Client(`unix://${path}`, credentials.createInsecure());
  const ask = (text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest('/test.Echo/Echo', bytes, String, Buffer.from(text), (error, answer) =>
        error ? reject(error) : resolve(answer ?? ''),
      );
    });
  expect([await ask('one'), await ask('two')]).toEqual(['one', 'two']);
  server.close();
  await expect(ask('three')).rejects.toThrow(/UNAVAILABLE|CANCELLED/);
  client.close();
});
