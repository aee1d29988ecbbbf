import { once } from 'node:events';
import { chmodSync, closeSync, openSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { errorCode } from '../../linux/errors.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import type { LxcfsStatus } from './status.ts';

/** Name of the unix socket in the run dir at which the supervisor can be asked; only root reaches it. */
const SOCKET = 'lxcfs.sock';
/** ms. */
const ANSWER_DEADLINE = 5000;
const NO_CONNECTION_CHECKS = 2 ** 31 - 1;

export interface ControlAnswers {
  readonly status: () => LxcfsStatus;
  readonly metrics: () => Promise<string>;
  /** Another supervisor wants to take over: resolves when this one has let go. */
  readonly yield: () => Promise<void>;
}

export interface Control {
  /**
   * Gives up the socket's path, for the next supervisor to have; those who are connected stay so. To be called before the lock is given
   * back: from then on the path may be the next one's.
   */
  withdraw(): void;
  /** Ends all connections as well. */
  close(): void;
}

/**
 * Serves until closed. Whoever has asked for `/wait` learns by the end of the connection that this process has ended. For the supervisor
 * that has the lock: a socket that is there already is taken for a dead one's.
 */
export async function startControl({ work }: RunDir, answers: ControlAnswers): Promise<Control> {
  const path = `${work}/${SOCKET}`;
  const server = createServer(
    { connectionsCheckingInterval: NO_CONNECTION_CHECKS, requestTimeout: 0, keepAliveTimeout: 1 },
    async (asked, response) => {
      try {
        await answer(`${asked.method} ${asked.url}`, response, answers);
      } catch (error) {
        send(response, 500, (error as Error).message);
      }
    },
  );
  rmSync(path, { force: true });
  server.listen(path);
  await once(server, 'listening');
  chmodSync(path, 0o600);
  return {
    // libuv removes the path that it has bound, whoever's socket is there (uv__pipe_close).
    withdraw: () => void server.close(),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function answer(what: string, response: ServerResponse, answers: ControlAnswers): Promise<void> {
  switch (what) {
    case 'GET /status':
      return send(response, 200, JSON.stringify(answers.status()));
    case 'GET /metrics':
      return send(response, 200, await answers.metrics());
    case 'GET /wait':
      return void response.writeHead(200).flushHeaders();
    case 'POST /yield':
      await answers.yield();
      return send(response, 200, 'ok');
    default:
      return send(response, 404, 'not found');
  }
}

function send(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { connection: 'close' }).end(body);
}

/** The supervisor's status; undefined where none is running. @throws where it does not answer */
export async function fetchLxcfsStatus(runDir: string): Promise<LxcfsStatus | undefined> {
  const body = await ask(runDir, 'GET', '/status');
  return body === undefined ? undefined : (JSON.parse(body) as LxcfsStatus);
}

/** In Prometheus' text format; undefined where no supervisor is running. */
export const fetchLxcfsMetrics = (runDir: string): Promise<string | undefined> => ask(runDir, 'GET', '/metrics');

/** Asks the supervisor to let another one take over. False where none is running. @throws where it does not answer */
export const askToYield = async (runDir: string): Promise<boolean> =>
  (await ask(runDir, 'POST', '/yield')) !== undefined;

/**
 * Resolves when the supervisor that is running has ended.
 * @returns undefined at once where none is running; else what gives up waiting, and what resolves
 */
export async function awaitEnd(runDir: string): Promise<{ readonly ended: Promise<void>; stop(): void } | undefined> {
  const response = await open(runDir, 'GET', '/wait');
  if (!response) return undefined;
  response.socket.setTimeout(0);
  const ended = new Promise<void>((resolve) =>
    response
      .once('close', resolve)
      .once('error', () => resolve())
      .resume(),
  );
  return { ended, stop: () => response.destroy() };
}

async function ask(runDir: string, method: string, path: string): Promise<string | undefined> {
  const response = await open(runDir, method, path);
  if (!response) return undefined;
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk;
  if (response.statusCode !== 200) throw new Error(body);
  return body;
}

async function open(runDir: string, method: string, path: string): Promise<IncomingMessage | undefined> {
  let directory: number | undefined;
  try {
    // A socket's address has 108 bytes at most, and a run dir may be longer.
    directory = openSync(runDir, 'r');
    const asked = request({ socketPath: `/proc/self/fd/${directory}/${SOCKET}`, method, path });
    let answer: IncomingMessage | undefined;
    asked.setTimeout(ANSWER_DEADLINE, () =>
      (answer ?? asked).destroy(
        new Error(`the supervisor of lxcfs on ${runDir} did not answer within ${ANSWER_DEADLINE / 1000} s`),
      ),
    );
    asked.end();
    [answer] = (await once(asked, 'response')) as [IncomingMessage];
    // Where the answer stalls, whoever reads it is told; the request is, too.
    asked.on('error', () => {});
    return answer;
  } catch (error) {
    if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  } finally {
    if (directory !== undefined) closeSync(directory);
  }
}
