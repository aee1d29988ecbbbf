import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface RequestDeadline {
  /** How long a request may take to arrive, from its first byte to its last, in milliseconds. */
  readonly request: number;
  /** How often overdue ones are looked for, in milliseconds: so much later than overdue they may end. */
  readonly check: number;
}

interface Progress {
  /** Bytes of requests that are done. */
  done: number;
  /** When a request was first seen to be on its way; undefined: nothing is. */
  since: number | undefined;
}

/**
 * Ends requests that take too long to arrive. Node's own limits (headersTimeout, requestTimeout) count from the start of a connection, and
 * so end one that was opened in advance and has sent nothing; this one counts from the first byte. An overdue request becomes the
 * server's `clientError`, with Node's own code for it.
 */
export function limitRequestTime(server: Server, { request, check }: RequestDeadline): void {
  const connections = new Map<Socket, Progress>();
  const sweep = (): void => {
    const now = performance.now();
    for (const [socket, progress] of connections) {
      if (socket.bytesRead <= progress.done) continue;
      progress.since ??= now;
      if (now - progress.since >= request) overdue(server, socket);
    }
  };
  let timer: NodeJS.Timeout | undefined;
  server.on('secureConnection', (socket: Socket) => {
    connections.set(socket, { done: socket.bytesRead, since: undefined });
    timer ??= setInterval(sweep, check).unref();
    socket.once('close', () => {
      connections.delete(socket);
      if (connections.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    });
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    response.once('close', () => {
      const progress = connections.get(socket);
      if (!progress) return;
      progress.done = socket.bytesRead;
      progress.since = undefined;
    });
  });
}

function overdue(server: Server, socket: Socket): void {
  const error = Object.assign(new Error('the request took too long to arrive'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
  if (!server.emit('clientError', error, socket)) socket.destroy();
}
