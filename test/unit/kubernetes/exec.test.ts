import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, expect, test } from 'vitest';
import { execInPod } from '../../../src/kubernetes/exec.ts';

let server: Server | undefined;
afterEach(() => void server?.close());

/** Something on the way that answers the upgrade by itself. */
async function execAt(answer: (socket: Duplex) => void, signal = new AbortController().signal) {
  server = createServer().on('upgrade', (_request, socket: Duplex) => {
    socket.on('error', () => {});
    answer(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const config = new KubeConfig();
  const { port } = server.address() as AddressInfo;
  config.loadFromClusterAndUser(
    { name: 'test', server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
    { name: 'nobody' },
  );
  return execInPod(config, { namespace: 'a', pod: 'b', container: 'c', command: ['true'], signal });
}

const HALF = 'HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nhalf of it';

test('a refusal is told by its words', async () => {
  const whole = 'HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nno, no.';
  await expect(execAt((socket) => socket.end(whole))).rejects.toMatchObject({ code: 403, message: 'no, no.' });
});

test('a refusal that breaks off in its midst is an error of that request alone', async () => {
  const broken = execAt((socket) => socket.write(HALF, () => socket.destroy()));
  await expect(broken).rejects.toMatchObject({ code: 403, message: expect.stringContaining('HTTP 403') });
});

test('a refusal that never ends takes no longer than it may', async () => {
  const aborting = new AbortController();
  const hanging = execAt((socket) => socket.write(HALF, () => setImmediate(() => aborting.abort())), aborting.signal);
  await expect(hanging).rejects.toMatchObject({ name: 'AbortError' });
});
