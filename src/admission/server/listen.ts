import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';

/** A port cannot be listened on. The message says which, why, and what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** Where to listen. An empty host is all addresses, IPv6 too where there is any; port 0 is any free one. */
export interface Address {
  readonly host: string;
  readonly port: number;
  /** The option that sets the port, for the message. */
  readonly option: string;
}

/** Listens, and returns the URL by which this machine reaches the server. Throws ListenError. */
export async function listen(
  app: FastifyInstance,
  scheme: 'http' | 'https',
  { host, port, option }: Address,
): Promise<string> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const remedy = REMEDIES[code ?? ''] ?? message;
    throw new ListenError(`cannot listen on port ${port}${host && ` of ${host}`}: ${remedy} (${option})`);
  }
  const bound = app.server.address() as AddressInfo;
  return `${scheme}://${host === '' || host === '::' || host === '0.0.0.0' ? 'localhost' : urlHost(host)}:${bound.port}`;
}

const REMEDIES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process uses it; end that, or choose another port',
  EACCES: 'ports below 1024 need a privilege that this process lacks; choose a higher one',
  EADDRNOTAVAIL: 'this machine has no such address; see --host',
  ENOTFOUND: 'no such host; see --host',
};

const urlHost = (host: string): string => (host.includes(':') ? `[${host}]` : host);
