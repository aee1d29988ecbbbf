import { X509Certificate } from 'node:crypto';
import { FileError, watchFiles } from '../../files/index.ts';
import type { Logger } from '../../observability/logger.ts';
import { CertificateError } from './certificate.ts';

/** Whose clients are let in. */
export interface ClientCa {
  /** The CAs that sign their certificates, PEM. */
  current(): string;
  /** Called after each change of `current()`. There is one listener: the server. */
  onChange(listener: () => void): void;
  close(): void;
}

/**
 * CAs of clients from a file, read again when it changes. One that cannot be used is reported, and the last good one stays.
 * @throws CertificateError where it cannot be used at the start
 */
export function openClientCa(file: string, log: Logger): ClientCa {
  let listener = (): void => {};
  const parse = ([pem = '']: readonly string[]): string => {
    const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    if (certificates.length === 0)
      throw new CertificateError(`${file} has no PEM certificate of a CA (--tls-client-ca)`);
    for (const certificate of certificates) check(certificate, file);
    return pem;
  };
  try {
    const watched = watchFiles([file], parse, {
      onChange() {
        log.info({ file }, 'CA of clients reloaded');
        listener();
      },
      onError(error) {
        log.error(`CA of clients not reloaded, the last good one stays in use: ${(error as Error).message}`);
      },
      onUnwatched: (problem) => log.warn(problem),
    });
    return {
      current: watched.current,
      onChange(to) {
        listener = to;
      },
      close: watched.close,
    };
  } catch (error) {
    throw error instanceof FileError ? new CertificateError(error.message) : error;
  }
}

function check(pem: string, file: string): void {
  let ca: boolean;
  try {
    ({ ca } = new X509Certificate(pem));
  } catch (error) {
    throw new CertificateError(`${file} is not a PEM certificate (${(error as Error).message}) (--tls-client-ca)`);
  }
  if (!ca)
    throw new CertificateError(
      `${file} is not the certificate of a CA: give the one that signs clients (--tls-client-ca)`,
    );
}
