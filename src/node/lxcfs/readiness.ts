import type { Server } from 'node:http';
import { PUBLIC_LIMITS } from '../http/health.ts';
import { listenOnPort, sendText, servePages } from '../http/server.ts';
import type { LxcfsStatus } from './status.ts';

/** What is missing until containers read from what a supervisor has started; undefined where nothing is. */
export const whyNotSettled = ({ settled, problem }: LxcfsStatus): string | undefined =>
  settled ? undefined : (problem ?? 'not all instances are there, or not all containers are attached, yet');

/**
 * Serves `/readyz` for the kubelet, which asks every few seconds: a program that asks the supervisor's socket would have to start Node
 * each time.
 * @throws Error that says what to do if it cannot listen
 */
export async function listenForReadiness(port: number, notReady: () => string | undefined): Promise<Server> {
  const server = servePages(
    {
      'GET /readyz': (response) => {
        const problem = notReady();
        sendText(response, problem === undefined ? 200 : 503, problem ?? 'ok');
      },
    },
    PUBLIC_LIMITS,
  );
  await listenOnPort(server, port, '', '--health-port');
  return server;
}
