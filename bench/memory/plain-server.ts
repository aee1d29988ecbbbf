import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

/** Node's own HTTPS server, with nothing but one answer: what a webhook takes before it does anything. */
process.once('message', ({ cert, key, answer }: Readonly<Record<'cert' | 'key' | 'answer', string>>) => {
  const server = createServer({ cert, key, keepAliveTimeout: 100_000 }, (request, response) => {
    request.setEncoding('utf8').on('data', () => {});
    request.on('end', () => response.setHeader('content-type', 'application/json').end(answer));
  });
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
});
