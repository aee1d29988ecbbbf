import { once } from 'node:events';
import { chmodSync, closeSync, openSync, rmSync } from 'node:fs';
import { createServer, request, type Server, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connections } from '../http/connections.ts';
import { errorCode } from '../linux/errors.ts';
import type { RunDir } from './run-dir/run-dir.ts';
import type { NodeStatus } from './status.ts';

/** Name of the unix socket in the run dir: where the status is asked for. */
const SOCKET = 'node.sock';

/** ms. Node looks for slow clients at an interval; idle, the daemon must not wake up at all. Instead, each connection has a timer. */
const NO_CONNECTION_CHECKS = 2 ** 31 - 1;
/** ms that a connection may last, for its one request. */
const CONNECTION_DEADLINE = 15_000;
/** Without a bound, those who ask too slowly, or not at all, would take every descriptor that the daemon may have. */
const MAX_CONNECTIONS = 64;
/** ms. The kubelet gives a probe one second, and what is wrong with lxcfs is no reason not to be ready. */
const DETAIL_DEADLINE = 300;

/** What everybody may ask. */
export interface PublicAnswers {
  /** Why the daemon is not ready; undefined where it is. */
  readonly notReady: () => string | undefined;
  readonly metrics: () => Promise<string>;
  /** What is wrong although the daemon is ready: said in the body of /readyz where it is known in time. */
  readonly detail: () => Promise<string | undefined>;
}

export interface Answers extends PublicAnswers {
  readonly status: () => Promise<NodeStatus>;
}

export interface NodeServer {
  /** The port in use, for one asked for as 0. */
  readonly port: number | undefined;
  close(): Promise<void>;
}

/**
 * Health and metrics on a port, and on a unix socket that only root can reach those and the status: labels of people's disks are
 * nobody's business on the network.
 * @throws Error that says what to do
 */
export async function startNodeServer(
  runDir: RunDir,
  port: number | undefined,
  host: string,
  answers: Answers,
): Promise<NodeServer> {
  const local = serve({
    ...publicPages(answers),
    '/status': async (response) => send(response, 200, await answers.status()),
  });
  await listenOnSocket(local, runDir);
  const servers = [local];
  let actualPort: number | undefined;
  if (port !== undefined) {
    const remote = await listenForHealth(port, host, answers).catch((error) => {
      local.close();
      throw error;
    });
    const address = remote.address();
    actualPort = typeof address === 'object' ? address?.port : undefined;
    servers.push(remote);
  }
  return {
    port: actualPort,
    async close() {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
      rmSync(`${runDir.work}/${SOCKET}`, { force: true });
    },
  };
}

/** Health and metrics on a port; 0: any free one. @throws Error that says what to do where it cannot be had */
export async function listenForHealth(port: number, host: string, answers: PublicAnswers): Promise<Server> {
  const server = serve(publicPages(answers));
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const why = errorCode(error) === 'EADDRINUSE' ? 'another process has it; choose another' : (error as Error).message;
    throw new Error(`cannot listen on port ${port}${host && ` of ${host}`}: ${why} (--metrics-port, --host)`);
  }
  return server;
}

/** ms. A daemon that is well answers in a few. */
const ANSWER_DEADLINE = 10_000;

/** Asks the daemon of a run dir for its status; undefined where none is running. Rejects where it does not answer, or not in time. */
export async function fetchStatus(runDir: string): Promise<NodeStatus | undefined> {
  let directory: number | undefined;
  try {
    // A socket's address has 108 bytes at most, and a run dir may be longer.
    directory = openSync(runDir, 'r');
    const signal = AbortSignal.timeout(ANSWER_DEADLINE);
    const asked = request({ socketPath: `/proc/self/fd/${directory}/${SOCKET}`, path: '/status', signal });
    asked.end();
    const [response] = await once(asked, 'response');
    // Where the answer stalls, whoever reads it is told; the request is, too.
    asked.on('error', () => {});
    let body = '';
    for await (const chunk of response.setEncoding('utf8')) body += chunk;
    if (response.statusCode !== 200) throw new Error(body.trim());
    return JSON.parse(body) as NodeStatus;
  } catch (error) {
    if (['ENOENT', 'ECONNREFUSED'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  } finally {
    if (directory !== undefined) closeSync(directory);
  }
}

type Page = (response: ServerResponse) => void | Promise<void>;

function publicPages({ notReady, detail, metrics }: PublicAnswers): Record<string, Page> {
  return {
    '/healthz': (response) => send(response, 200, 'ok'),
    '/readyz': async (response) => {
      const problem = notReady();
      const more = await within(DETAIL_DEADLINE, detail(), 'lxcfs: it does not answer');
      send(response, problem === undefined ? 200 : 503, [problem ?? 'ok', ...(more ? [more] : [])].join('\n'));
    },
    '/metrics': async (response) => send(response, 200, await metrics(), 'text/plain; version=0.0.4; charset=utf-8'),
  };
}

/** What it resolves with, or where that takes longer than `deadline` ms, `otherwise`. */
async function within<T>(deadline: number, promise: Promise<T>, otherwise: T): Promise<T> {
  const answered = new AbortController();
  try {
    return await Promise.race([promise, sleep(deadline, otherwise, { signal: answered.signal })]);
  } finally {
    answered.abort();
  }
}

function serve(pages: Record<string, Page>): Server {
  const server = createServer(
    { connectionsCheckingInterval: NO_CONNECTION_CHECKS, keepAliveTimeout: 1 },
    async (asked, response) => {
      const path = asked.url?.split('?', 1)[0] ?? '';
      const page = asked.method === 'GET' && Object.hasOwn(pages, path) ? pages[path] : undefined;
      try {
        if (page) await page(response);
        else send(response, 404, 'not found');
      } catch (error) {
        send(response, 500, (error as Error).message);
      }
    },
  );
  new Connections({ max: MAX_CONNECTIONS }).add(server);
  // A connection that could not be accepted, for want of descriptors or memory: whoever asked asks again.
  server.on('error', () => {});
  server.on('connection', (socket) => {
    const deadline = setTimeout(() => socket.destroy(), CONNECTION_DEADLINE);
    socket.once('close', () => clearTimeout(deadline));
  });
  return server;
}

function send(response: ServerResponse, status: number, body: string | object, type?: string): void {
  const text = typeof body === 'string' ? `${body}\n` : JSON.stringify(body);
  const contentType = type ?? (typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json');
  response.writeHead(status, { 'content-type': contentType, connection: 'close' }).end(text);
}

async function listenOnSocket(server: Server, runDir: RunDir): Promise<void> {
  const path = `${runDir.work}/${SOCKET}`;
  // Of a daemon that has ended: of those that run, only the one that has the lock comes here.
  rmSync(path, { force: true });
  server.listen(path);
  await once(server, 'listening');
  chmodSync(path, 0o600);
}
