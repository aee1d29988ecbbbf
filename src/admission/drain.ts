import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Health } from './health.ts';

/**
 * Goes without failing a request. API servers keep connections for 90 s and never try a failed call again, and they learn from the
 * Service, seconds later, that a pod is not ready. So: not ready at once; every answer asks its client to close the connection; new
 * ones are still taken; and only when no API server should know us any more, close.
 */
export async function drain(health: Health, seconds: number, close: () => Promise<void>): Promise<void> {
  health.notReady = 'it is shutting down';
  health.draining = true;
  await sleep(seconds * 1000);
  await close();
}

/** What a server is given to finish its answers, in milliseconds. */
const CLOSE_GRACE_MS = 5_000;

/**
 * Returns what closes the server: no new connections; idle ones closed; answers finished, but none waited for longer than the grace, as
 * a client could keep us from ever closing by sending half a request. To be called before the server listens.
 */
export function closeWithin(app: FastifyInstance, graceMs = CLOSE_GRACE_MS): () => Promise<void> {
  const sockets = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return async () => {
    const overdue = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    await app.close();
    clearTimeout(overdue);
  };
}
