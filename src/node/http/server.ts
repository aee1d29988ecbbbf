import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { Connections } from '../../http/connections.ts';
import { errorCode } from '../../linux/errors.ts';

/**
 * `node:http` by itself: fastify would add 13 MB to each daemon's 60 (measured), for a handful of pages.
 *
 * ms. Node checks for slow clients at an interval; idle, the daemon must not wake up at all. Connections have a timer of their own.
 */
const NO_CONNECTION_CHECKS = 2 ** 31 - 1;

export type Page = (response: ServerResponse, query: URLSearchParams) => void | Promise<void>;

/** By method and path: `GET /healthz`. */
export type Pages = Readonly<Record<string, Page>>;

export interface ConnectionLimits {
  /** ms that a connection may last, for its one request. */
  readonly deadline: number;
  /** Without a bound, those who ask too slowly, or not at all, would take every descriptor that the daemon may have. */
  readonly connections: number;
}

/** Answers one request a connection. A page that fails is answered with 500 and its error's message. */
export function servePages(pages: Pages, limits?: ConnectionLimits): Server {
  const server = createServer(
    { connectionsCheckingInterval: NO_CONNECTION_CHECKS, requestTimeout: 0, keepAliveTimeout: 1 },
    async (request, response) => {
      const [path, query = ''] = request.url?.split('?', 2) ?? [];
      const key = `${request.method} ${path}`;
      const page = Object.hasOwn(pages, key) ? pages[key] : undefined;
      try {
        if (page) await page(response, new URLSearchParams(query));
        else sendText(response, 404, 'not found');
      } catch (error) {
        sendText(response, 500, (error as Error).message);
      }
    },
  );
  // A connection could not be accepted, for lack of descriptors or memory: the client tries again.
  server.on('error', () => {});
  if (!limits) return server;
  new Connections({ max: limits.connections }).add(server);
  server.on('connection', (socket) => {
    const deadline = setTimeout(() => socket.destroy(), limits.deadline);
    socket.once('close', () => clearTimeout(deadline));
  });
  return server;
}

/** @param type `content-type` */
export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': type, connection: 'close' }).end(`${text}\n`);
}

export function sendJson(response: ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(value));
}

/** Listens on a port; 0: any free one. @param flags that choose them @throws Error that says what to do if it cannot listen */
export async function listenOnPort(server: Server, port: number, host: string, flags: string): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const why =
      errorCode(error) === 'EADDRINUSE' ? 'another process uses it; choose another' : (error as Error).message;
    throw new Error(`cannot listen on port ${port}${host && ` of ${host}`}: ${why} (${flags})`);
  }
}

/** The port that it listens on; undefined for a socket. */
export function portOf(server: Server): number | undefined {
  const address = server.address();
  return typeof address === 'object' ? address?.port : undefined;
}

/**
 * Listens on a unix socket that only root reaches. For whoever holds the lock of the path's directory: a socket that is there already
 * is taken for a dead process's.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  rmSync(path, { force: true });
  server.listen(path);
  await once(server, 'listening');
  chmodSync(path, 0o600);
}

/** Stops listening and ends all connections. */
export function closeServer(server: Server): void {
  server.close();
  server.closeAllConnections();
}
