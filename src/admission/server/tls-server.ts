import { constants } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import { limitRequestTime } from '../../http/request-deadline.ts';
import type { Certificate } from '../certificates/certificate.ts';

/** What clients may take up: times in milliseconds. */
export interface ServerLimits {
  /** More connections than this are never open. */
  readonly connections: number;
  /** Bytes of memory for the bodies of all requests together. */
  readonly bodies: number;
  readonly handshake: number;
  /** For a request to arrive, from its first byte to its last. */
  readonly request: number;
  /** For a connection to be idle, from its start or from the last answer. */
  readonly keepAlive: number;
  /** After how long a client has closed the connections that it leaves idle, itself: less than keepAlive. */
  readonly idleClient: number;
  /** How often overdue requests are looked for. */
  readonly check: number;
}

/**
 * What a real API server never meets. It gives up on a call after 30 s at most (timeoutSeconds of a webhook). It keeps idle connections for
 * 90 s (client-go's transport), also one that it dialled and then had no use for, which has sent nothing yet; closing such a connection
 * first can fail the very request that is on its way, and it does not try again. It has 200 requests in flight that change something
 * (--max-mutating-requests-inflight): here is room for those of five. The body of a pod has some ten thousand bytes.
 */
export const API_SERVER_LIMITS: ServerLimits = {
  connections: 1_024,
  bodies: 32 * 1024 * 1024,
  handshake: 10_000,
  request: 30_000,
  keepAlive: 100_000,
  idleClient: 95_000,
  check: 5_000,
};

/** A dozen is what API servers send; what a proxy adds has room, too. */
const MAX_HEADERS = 64;

/** An HTTPS server with limits that suit API servers: HTTP/1.1, TLS 1.2 or later. */
export function createTlsServer(handler: RequestListener, identity: Identity, limits: ServerLimits): Server {
  const server = createServer(
    {
      ...secureContext(identity),
      // Who has none, or a bad one, gets an answer that says so: see client-authentication.ts.
      requestCert: identity.clientCa !== undefined,
      rejectUnauthorized: false,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      handshakeTimeout: limits.handshake,
      // Node counts these from the start of a connection, where nothing has been sent yet: limitRequestTime does not.
      headersTimeout: limits.keepAlive,
      requestTimeout: limits.keepAlive,
      keepAliveTimeout: limits.keepAlive,
      connectionsCheckingInterval: limits.check,
    },
    handler,
  );
  server.maxHeadersCount = MAX_HEADERS;
  limitRequestTime(server, limits);
  return server;
}

/** By what a server shows who it is, and learns who its clients are. */
export interface Identity {
  readonly certificate: Certificate;
  /** What clients' certificates are signed with, PEM; undefined: they are not asked for any. */
  readonly clientCa: string | undefined;
}

/** The server's part that a new certificate changes; existing connections go on with the old one. */
export const secureContext = ({ certificate: { cert, key }, clientCa }: Identity): SecureContextOptions => ({
  cert,
  key,
  ...(clientCa !== undefined && { ca: clientCa }),
  minVersion: 'TLSv1.2',
});
