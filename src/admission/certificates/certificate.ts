import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

/** What a TLS server needs, checked: the key belongs to the certificate. */
export interface Certificate {
  /** The leaf, then any intermediates, PEM. */
  readonly cert: string;
  /** PEM, unencrypted. */
  readonly key: string;
  /** What clients verify the leaf with, PEM, where the source knows it. */
  readonly ca?: string | undefined;
  /** When the leaf ends. */
  readonly notAfter: Date;
}

/** Where the serving certificate comes from. Whoever opens one gets it with a certificate loaded. */
export interface CertificateSource {
  current(): Certificate;
  /** Called after each change of `current()`. There is one listener: the server. */
  onChange(listener: () => void): void;
  close(): void;
}

/** The certificate, the key or their combination cannot be used; the message says which and why. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
}

/**
 * Checks a PEM pair the way a TLS server will use it. `certName` and `keyName` go into the messages.
 * Throws CertificateError.
 */
export function checkCertificate(
  pem: { cert: string; key: string; ca?: string | undefined },
  certName = 'the certificate',
  keyName = 'the key',
): Certificate {
  const leaf = readPem(() => new X509Certificate(pem.cert), `${certName} is not a PEM certificate`);
  const key = readPem(() => createPrivateKey(pem.key), `${keyName} is not an unencrypted PEM private key`);
  if (!leaf.checkPrivateKey(key)) throw new CertificateError(`${keyName} is not the key of ${certName}`);
  readPem(() => createSecureContext({ cert: pem.cert, key: pem.key }), `${certName} and ${keyName} cannot serve TLS`);
  return { ...pem, notAfter: leaf.validToDate };
}

function readPem<T>(read: () => T, problem: string): T {
  try {
    return read();
  } catch (error) {
    throw new CertificateError(`${problem} (${(error as Error).message})`);
  }
}
