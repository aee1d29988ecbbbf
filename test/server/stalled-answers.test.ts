import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fetchLxcfsStatus } from '../../src/node/lxcfs/api.ts';
import { fetchStatus } from '../../src/node/server.ts';

let runDir: string;
let server: Server | undefined;
beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'hotmount-stalled-'));
});
afterEach(() => {
  server?.close();
  rmSync(runDir, { recursive: true, force: true });
});

/** Vitest fails a run in which an error is left to nobody: an 'error' event without a listener is one. */
test.each([
  ['the supervisor of lxcfs', 'lxcfs.sock', fetchLxcfsStatus, /did not answer within 5 s/],
  ['the daemon', 'node.sock', fetchStatus, /did not answer within 10 s/],
])('%s that stalls in the midst of its answer ends the question, and no more', async (_, socket, ask, message) => {
  server = createServer((connection) => {
    connection.on('error', () => {});
    connection.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"half":');
  }).listen(join(runDir, socket));
  await expect(ask(runDir)).rejects.toThrow(message);
});
