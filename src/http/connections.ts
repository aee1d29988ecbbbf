import { EventEmitter, once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Server, Socket } from 'node:net';
import { heaviest, sourceOf } from './heaviest.ts';

export interface ConnectionLimit {
  /** Never more of them than this. */
  readonly max: number;
  /** Told how many had to go for others. */
  readonly onDisplaced?: (count: number) => void;
}

interface Connection {
  readonly socket: Socket;
  readonly source: string;
  readonly weight: 1;
}

/** This part of `max` goes at once, of those never served: a flood of connections would else cost a search for each. */
const BATCH = 16;

/**
 * The open connections of a server, those included that have not finished their handshake. To be made before the server listens.
 *
 * A server that refuses connections beyond a number can be filled by anybody, for ever. This one takes the newest and closes another:
 * of those that were never served, the oldest from the address that has the most; where all were, the one that was used the longest ago.
 */
export class Connections {
  readonly #limit: ConnectionLimit;
  /** Never served, and served: each with the one first that has done nothing for the longest. */
  readonly #newcomers = new Map<Socket, Connection>();
  readonly #served = new Map<Socket, Connection>();
  /** A TLS connection has two sockets, and requests come with the outer one. */
  readonly #inner = new WeakMap<Socket, Socket>();
  readonly #events = new EventEmitter();

  constructor(limit: ConnectionLimit) {
    this.#limit = limit;
  }

  /** Counts the connections of this server, too. */
  add(server: Server): void {
    const byPort = new Map<string, Socket>();
    server.on('connection', (socket: Socket) => {
      const port = portOf(socket);
      byPort.set(port, socket);
      this.#newcomers.set(socket, { socket, source: sourceOf(socket.remoteAddress), weight: 1 });
      socket.once('close', () => {
        if (byPort.get(port) === socket) byPort.delete(port);
        this.#newcomers.delete(socket);
        this.#served.delete(socket);
        if (this.size === 0) this.#events.emit('none');
      });
      if (this.size > this.#limit.max) this.#displace();
    });
    server.on('secureConnection', (socket: Socket) => {
      const inner = byPort.get(portOf(socket));
      if (inner) this.#inner.set(socket, inner);
    });
    server.on('request', ({ socket }: IncomingMessage) => this.#used(socket));
  }

  get size(): number {
    return this.#newcomers.size + this.#served.size;
  }

  /** This connection has been of use: it goes after all that were not. */
  served(socket: Socket): void {
    const inner = this.#inner.get(socket) ?? socket;
    const connection = this.#newcomers.get(inner) ?? this.#served.get(inner);
    if (!connection || inner.destroyed) return;
    this.#newcomers.delete(inner);
    this.#served.delete(inner);
    this.#served.set(inner, connection);
  }

  /** Resolves when there is none, and after so many milliseconds, or when `enough` is aborted, in any case. */
  async none(withinMs: number, enough?: AbortSignal): Promise<void> {
    if (this.size === 0) return;
    const overdue = new AbortController();
    const timer = setTimeout(() => overdue.abort(), withinMs);
    const signal = enough ? AbortSignal.any([overdue.signal, enough]) : overdue.signal;
    // An abort is the other way to end.
    await once(this.#events, 'none', { signal }).catch(() => {});
    clearTimeout(timer);
  }

  destroyAll(): void {
    for (const socket of [...this.#newcomers.keys(), ...this.#served.keys()]) socket.destroy();
  }

  /** A request has begun on it: one that was served is not displaced in the middle of the next. */
  #used(socket: Socket): void {
    const inner = this.#inner.get(socket) ?? socket;
    const connection = this.#served.get(inner);
    if (!connection) return;
    this.#served.delete(inner);
    this.#served.set(inner, connection);
  }

  #displace(): void {
    // The one that has just come is a newcomer, too, and stays.
    const from = this.#newcomers.size > 1 ? this.#newcomers : this.#served;
    const batch = from === this.#served ? 1 : Math.ceil(this.#limit.max / BATCH);
    const count = Math.min(batch, from.size - (from === this.#served ? 0 : 1));
    for (let i = 0; i < count; i++) {
      const connection = heaviest(from.values());
      if (!connection) break;
      from.delete(connection.socket);
      connection.socket.destroy();
    }
    this.#limit.onDisplaced?.(count);
  }
}

const portOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;
