import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import type { Certificate } from './certificates.ts';

/** How long clients may take, in milliseconds. */
export interface ServerLimits {
  readonly handshake: number;
  /** For the headers, and for the whole request, each from the first byte or from the start of the connection. */
  readonly request: number;
  readonly keepAlive: number;
  /** After how long a client has closed the connections that it leaves idle, itself: less than keepAlive. */
  readonly idleClient: number;
  /** How often overdue requests are looked for. */
  readonly check: number;
}

/**
 * API servers keep connections for 90 s (client-go's transport), also one that they dialled and then had no use for, which has sent
 * nothing yet. Closing such a connection first can fail the very request that is on its way, and they do not try again. So every
 * limit but the handshake's is above 90 s; a client that dribbles is cut off no later than one that is silent.
 */
export const API_SERVER_LIMITS: ServerLimits = {
  handshake: 10_000,
  request: 100_000,
  keepAlive: 100_000,
  idleClient: 95_000,
  check: 5_000,
};

/** An HTTPS server with limits that suit API servers: HTTP/1.1, TLS 1.2 or later. */
export function createTlsServer(handler: RequestListener, certificate: Certificate, limits: ServerLimits): Server {
  return createServer(
    {
      ...secureContext(certificate),
      handshakeTimeout: limits.handshake,
      headersTimeout: limits.request,
      requestTimeout: limits.request,
      keepAliveTimeout: limits.keepAlive,
      connectionsCheckingInterval: limits.check,
    },
    handler,
  );
}

/** The server's part that a new certificate changes; existing connections go on with the old one. */
export const secureContext = ({ cert, key }: Certificate): SecureContextOptions => ({
  cert,
  key,
  minVersion: 'TLSv1.2',
});
