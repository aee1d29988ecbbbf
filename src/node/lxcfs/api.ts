import type { Server } from 'node:http';
import { patient } from '../../linux/slowness.ts';
import { ask, connect, type Question } from '../http/client.ts';
import { closeServer, listenOnSocket, sendJson, sendText, servePages } from '../http/server.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import type { LxcfsStatus } from './status.ts';

/** Name of the unix socket in the run dir at which the supervisor can be asked; only root reaches it. */
const SOCKET = 'lxcfs.sock';
/** ms. */
const ANSWER_DEADLINE = patient(5000);

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
  const server: Server = servePages({
    'GET /status': (response) => sendJson(response, answers.status()),
    'GET /metrics': async (response) => sendText(response, 200, await answers.metrics()),
    'GET /wait': (response) => response.writeHead(200).flushHeaders(),
    'POST /yield': async (response) => {
      await answers.yield();
      sendText(response, 200, 'ok');
    },
  });
  await listenOnSocket(server, `${work}/${SOCKET}`);
  return {
    // libuv removes the path that it has bound, whoever's socket is there (uv__pipe_close).
    withdraw: () => void server.close(),
    close: () => closeServer(server),
  };
}

/** The supervisor's status; undefined where none is running. @throws where it does not answer */
export async function fetchLxcfsStatus(runDir: string): Promise<LxcfsStatus | undefined> {
  const body = await ask(question(runDir, 'GET /status'));
  return body === undefined ? undefined : (JSON.parse(body) as LxcfsStatus);
}

/** In Prometheus' text format; undefined where no supervisor is running. */
export const fetchLxcfsMetrics = (runDir: string): Promise<string | undefined> => ask(question(runDir, 'GET /metrics'));

/** Asks the supervisor to let another one take over. False where none is running. @throws where it does not answer */
export const askToYield = async (runDir: string): Promise<boolean> =>
  (await ask(question(runDir, 'POST /yield'))) !== undefined;

/**
 * Resolves when the supervisor that is running has ended.
 * @returns undefined at once where none is running; else what gives up waiting, and what resolves
 */
export async function awaitEnd(runDir: string): Promise<{ readonly ended: Promise<void>; stop(): void } | undefined> {
  const response = await connect(question(runDir, 'GET /wait'));
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

const question = (runDir: string, page: string): Question => ({
  runDir,
  socket: SOCKET,
  page,
  deadline: ANSWER_DEADLINE,
  whom: `the supervisor of lxcfs on ${runDir}`,
});
