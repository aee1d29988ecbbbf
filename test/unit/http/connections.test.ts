import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Connections } from '../../../src/http/connections.ts';

const closers: Array<() => unknown> = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A server that takes `max` connections and answers each request; what it answers is of use. */
async function serve(max: number) {
  let displaced = 0;
  const connections = new Connections({
    max,
    onDisplaced(count) {
      displaced += count;
    },
  });
  const server = createServer((asked, response) => {
    connections.served(asked.socket);
    response.end('ok');
  });
  connections.add(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  closers.push(() => connections.destroyAll());
  const { port } = server.address() as AddressInfo;
  const open = async (localAddress = '127.0.0.1'): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    socket.on('error', () => {}).resume();
    await once(server, 'connection');
    return socket;
  };
  const ask = async (socket: Socket): Promise<number> => {
    const asked = request({ createConnection: () => socket, headers: { connection: 'keep-alive' } }).end();
    const [response] = await once(asked, 'response');
    response.resume();
    await once(response, 'end');
    return response.statusCode;
  };
  return { open, ask, connections, displaced: () => displaced };
}

describe('the connections of a server', () => {
  it('are never more than the limit, and the newest is taken', async () => {
    const { open, ask, connections, displaced } = await serve(4);
    const first = await open();
    const gone = once(first, 'close');
    for (let i = 0; i < 4; i++) await open();
    const last = await open();
    await gone;
    expect(connections.size).toBeLessThanOrEqual(4);
    expect(displaced()).toBe(2);
    expect(await ask(last)).toBe(200);
  });

  it('stay open where they were of use, whoever comes', async () => {
    const { open, ask } = await serve(4);
    const used = await open();
    expect(await ask(used)).toBe(200);
    for (let i = 0; i < 20; i++) await open();
    expect(used.destroyed).toBe(false);
  });

  it('of one address do not displace those of another', async () => {
    const { open, ask } = await serve(8);
    const other = await open('127.0.0.2');
    for (let i = 0; i < 50; i++) await open();
    expect(await ask(other)).toBe(200);
  });

  it('that were all of use give way to a new one, the one that was idle for the longest first', async () => {
    const { open, ask } = await serve(2);
    const [a, b] = [await open(), await open()];
    for (const socket of [a, b, a]) expect(await ask(socket)).toBe(200);
    const gone = once(b, 'close');
    const c = await open();
    await gone;
    expect(await ask(c)).toBe(200);
    expect(a.destroyed).toBe(false);
  });
});
