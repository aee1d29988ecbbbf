import { rmSync } from 'node:fs';
import { ask } from './http/client.ts';
import { type HealthAnswers, healthPages, listenForHealth, PUBLIC_LIMITS } from './http/health.ts';
import { closeServer, listenOnSocket, portOf, sendJson, servePages } from './http/server.ts';
import type { RunDir } from './run-dir/run-dir.ts';
import type { Ejection, NodeStatus } from './status.ts';

/** Name of the unix socket in the run dir that gives the status. */
const SOCKET = 'node.sock';

export interface Answers extends HealthAnswers {
  readonly status: () => Promise<NodeStatus>;
  /** Rejects where there is no such disk. */
  readonly eject: (disk: string) => Promise<Ejection>;
}

export interface NodeServer {
  /** The port in use, for one asked for as 0. */
  readonly port: number | undefined;
  close(): Promise<void>;
}

/**
 * Serves health and metrics on a port. A unix socket that only root can reach serves these and the status: the network must not see
 * the labels of people's disks.
 * @throws Error that says what to do
 */
export async function startNodeServer(
  runDir: RunDir,
  port: number | undefined,
  host: string,
  answers: Answers,
): Promise<NodeServer> {
  const path = `${runDir.work}/${SOCKET}`;
  const local = servePages(
    {
      ...healthPages(answers),
      'GET /status': async (response) => sendJson(response, await answers.status()),
      'POST /eject': async (response, query) => sendJson(response, await answers.eject(query.get('disk') ?? '')),
    },
    PUBLIC_LIMITS,
  );
  await listenOnSocket(local, path);
  const remote =
    port === undefined
      ? undefined
      : await listenForHealth(port, host, answers).catch((error) => {
          local.close();
          throw error;
        });
  return {
    port: remote && portOf(remote),
    async close() {
      closeServer(local);
      if (remote) closeServer(remote);
      rmSync(path, { force: true });
    },
  };
}

/** ms. A healthy daemon answers in a few. */
const ANSWER_DEADLINE = 10_000;

/** Asks the daemon of a run dir for its status; undefined where none is running. @throws Error where it does not answer, or not in time */
export async function fetchStatus(runDir: string): Promise<NodeStatus | undefined> {
  const body = await ask({
    runDir,
    socket: SOCKET,
    page: 'GET /status',
    deadline: ANSWER_DEADLINE,
    whom: 'it',
  });
  return body === undefined ? undefined : (JSON.parse(body) as NodeStatus);
}

/** ms. To write back to a slow stick takes its time. */
const EJECT_DEADLINE = 60_000;

/** Asks the daemon of a run dir to eject a disk; undefined where none is running. @throws Error where it cannot */
export async function requestEjection(runDir: string, disk: string): Promise<Ejection | undefined> {
  const body = await ask({
    runDir,
    socket: SOCKET,
    page: `POST /eject?disk=${encodeURIComponent(disk)}`,
    deadline: EJECT_DEADLINE,
    whom: 'it',
  });
  return body === undefined ? undefined : (JSON.parse(body) as Ejection);
}
