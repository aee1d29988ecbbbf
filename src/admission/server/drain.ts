import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Connections } from '../../http/connections.ts';
import type { Health } from './health.ts';

export interface DrainOptions {
  /** How long clients may take to learn from the Service that we are going, in milliseconds; 0: do not wait for anybody. */
  readonly noticeMs: number;
  /** For how long a client may come back to a connection that it left idle, in milliseconds. */
  readonly idleClientMs: number;
  /** Aborted where no client will come back: nobody who is idle is waited for. */
  readonly uncalled?: AbortSignal | undefined;
}

/**
 * Goes without failing a request. API servers take the connection that they used last, never try a failed call again, and cannot be told that
 * an idle connection is about to be closed: a request that is on its way meanwhile fails. So: not ready at once; every answer asks its
 * client to close the connection; new ones are still taken; and an idle one is left to its client, which closes it itself. Returns how many
 * clients had not done so by the time that they must have.
 */
export async function drain(
  health: Health,
  connections: Connections,
  { noticeMs, idleClientMs, uncalled }: DrainOptions,
): Promise<number> {
  health.notReady = 'it is shutting down';
  health.draining = true;
  if (noticeMs === 0) return connections.size;
  await sleep(noticeMs);
  await connections.none(idleClientMs, uncalled);
  return connections.size;
}

/** What a server is given to finish its answers, in milliseconds. */
const CLOSE_GRACE_MS = 5_000;

/**
 * Closes the server: no new connections; idle ones closed; answers finished, but none waited for longer than the grace, as a client
 * could keep us from ever closing by sending half a request.
 */
export async function closeWithin(
  app: FastifyInstance,
  connections: Connections,
  graceMs = CLOSE_GRACE_MS,
): Promise<void> {
  const overdue = setTimeout(() => connections.destroyAll(), graceMs);
  await app.close();
  clearTimeout(overdue);
}
