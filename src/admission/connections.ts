import { EventEmitter, once } from 'node:events';
import type { Server, Socket } from 'node:net';

/** The open connections of a server, those included that have not finished their handshake. To be made before the server listens. */
export class Connections {
  readonly #sockets = new Set<Socket>();
  readonly #events = new EventEmitter();

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        if (this.#sockets.size === 0) this.#events.emit('none');
      });
    });
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** Resolves when there is none, and after so many milliseconds in any case. */
  async none(withinMs: number): Promise<void> {
    if (this.#sockets.size === 0) return;
    const overdue = new AbortController();
    const timer = setTimeout(() => overdue.abort(), withinMs);
    // An abort is the other way to end.
    await once(this.#events, 'none', { signal: overdue.signal }).catch(() => {});
    clearTimeout(timer);
  }

  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
