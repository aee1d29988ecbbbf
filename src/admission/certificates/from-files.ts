import { FileError, watchFiles } from '../../files/index.ts';
import type { Logger } from '../../observability/logger.ts';
import { type Certificate, CertificateError, type CertificateSource, checkCertificate } from './certificate.ts';

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/**
 * A certificate and its key from files, read again when they change. A pair that cannot be used is reported, and the last good one
 * stays. Rejects with CertificateError where the files cannot be used at the start.
 */
export async function openCertificateFiles(files: CertificateFiles, log: Logger): Promise<CertificateSource> {
  const parse = ([cert = '', key = '']: readonly string[]): Certificate =>
    checkCertificate({ cert, key }, `the certificate ${files.cert}`, `the key ${files.key}`);
  const warnIfExpired = ({ notAfter }: Certificate): void => {
    if (notAfter.getTime() > Date.now()) return;
    log.error(`the certificate ${files.cert} expired at ${notAfter.toISOString()}: clients refuse it, replace it`);
  };
  let listener = (): void => {};

  try {
    const watched = watchFiles([files.cert, files.key], parse, {
      onChange(certificate) {
        log.info({ file: files.cert, notAfter: certificate.notAfter }, 'certificate reloaded');
        warnIfExpired(certificate);
        listener();
      },
      onError(error) {
        log.error(`certificate not reloaded, the last good one stays in use: ${(error as Error).message}`);
      },
      onUnwatched: (problem) => log.warn(problem),
    });
    warnIfExpired(watched.current());
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
