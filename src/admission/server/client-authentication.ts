import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { HttpProblem } from './http-errors.ts';

/** Who may ask for admissions, where that is limited. */
export interface Clients {
  /** Names that a client's certificate must have one of, as its common name or a DNS name; empty: any that the CA has signed. */
  readonly names: readonly string[];
}

/** Why this client may not ask; undefined where it may. Its handshake is done, with or without a certificate. */
export function clientProblem(socket: TLSSocket, { names }: Clients): HttpProblem | undefined {
  const certificate = socket.getPeerCertificate();
  if (!certificate.raw) return unauthenticated('it has sent no certificate');
  if (!socket.authorized)
    return unauthenticated(`its certificate is not valid for --tls-client-ca: ${problemOf(socket)}`);
  const found = namesOf(certificate);
  if (names.length === 0 || found.some((name) => names.includes(name))) return undefined;
  return unauthenticated(
    `its certificate is for ${found.join(', ') || 'nobody'}, and --tls-client-names has ${names.join(', ')}`,
  );
}

const unauthenticated = (why: string): HttpProblem => ({
  code: 403,
  reason: 'client_unauthenticated',
  message: `this client may not ask: ${why}`,
});

/** OpenSSL's code, such as CERT_HAS_EXPIRED. */
const problemOf = ({ authorizationError }: TLSSocket): string => String(authorizationError);

function namesOf({ subject, subjectaltname = '' }: PeerCertificate): string[] {
  const common = subject?.CN ?? [];
  const dns = [...subjectaltname.matchAll(/DNS:([^,]+)/g)].map(([, name = '']) => name);
  return [...(Array.isArray(common) ? common : [common]), ...dns];
}
