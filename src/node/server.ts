import { once } from 'node:events';
import { chmodSync, closeSync, openSync, rmSync } from 'node:fs';
import { createServer, request, type Server, type ServerResponse } from 'node:http';
import { errorCode } from '../linux/errors.ts';
import type { RunDir } from './run-dir.ts';
import type { NodeStatus } from './status.ts';

/** Name of the unix socket in the run dir: where the status is asked for, and what keeps a second daemon out. */
const SOCKET = 'node.sock';

/** ms. A server that is asked for once a minute need not look for slow clients twice in it; idle, it must not wake up at all. */
const NO_CONNECTION_CHECKS = 2 ** 31 - 1;

/** What everybody may ask. */
export interface PublicAnswers {
  /** Why the daemon is not ready; undefined where it is. */
  readonly notReady: () => string | undefined;
  readonly metrics: () => Promise<string>;
  /** What is wrong although the daemon is ready: said in the body of /readyz. */
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
 * @throws Error where another daemon serves this run dir
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

/** Health and metrics on a port; 0: any free one. Rejects where it cannot be had. */
export async function listenForHealth(port: number, host: string, answers: PublicAnswers): Promise<Server> {
  const server = serve(publicPages(answers));
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}

/** ms. A daemon that is well answers in a few. */
const ANSWER_DEADLINE = 10_000;

/** Asks the daemon of a run dir for its status; undefined where none is running. Rejects where it does not answer in time. */
export async function fetchStatus(runDir: string): Promise<NodeStatus | undefined> {
  let directory: number | undefined;
  try {
    // A socket's address has 108 bytes at most, and a run dir may be longer.
    directory = openSync(runDir, 'r');
    const signal = AbortSignal.timeout(ANSWER_DEADLINE);
    const asked = request({ socketPath: `/proc/self/fd/${directory}/${SOCKET}`, path: '/status', signal });
    asked.end();
    const [response] = await once(asked, 'response');
    let body = '';
    for await (const chunk of response.setEncoding('utf8')) body += chunk;
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
      const more = await detail();
      send(response, problem === undefined ? 200 : 503, [problem ?? 'ok', ...(more ? [more] : [])].join('\n'));
    },
    '/metrics': async (response) => send(response, 200, await metrics(), 'text/plain; version=0.0.4; charset=utf-8'),
  };
}

function serve(pages: Record<string, Page>): Server {
  return createServer(
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
}

function send(response: ServerResponse, status: number, body: string | object, type?: string): void {
  const text = typeof body === 'string' ? `${body}\n` : JSON.stringify(body);
  const contentType = type ?? (typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json');
  response.writeHead(status, { 'content-type': contentType, connection: 'close' }).end(text);
}

async function listenOnSocket(server: Server, runDir: RunDir): Promise<void> {
  const path = `${runDir.work}/${SOCKET}`;
  if (await fetchStatus(runDir.path)) {
    throw new Error(`another hotmount node serves the run dir ${runDir.path}: stop it first`);
  }
  rmSync(path, { force: true });
  server.listen(path);
  await once(server, 'listening');
  chmodSync(path, 0o600);
}
