import type { ObjectName } from '../../contract/object-name.ts';
import type { CertificateSource } from './certificate.ts';
import type { Issued } from './issue.ts';
import { LOCAL_NAMES, serviceNames } from './server-names.ts';

const DAYS = 365;

/** Knows its CA, `current().ca`: what clients verify with. */
export interface SelfSigned extends CertificateSource {
  current(): Issued;
}

/**
 * A certificate of a CA of its own, in memory, new at each start: for trying things out, and where whoever starts the webhook also
 * hands the CA to its clients.
 */
export async function selfSigned(service?: ObjectName): Promise<SelfSigned> {
  // x509 is a fifth of the start time: whoever brings files does without.
  const { issueCertificate } = await import('./issue.ts');
  const names = [...(service ? serviceNames(service) : []), ...LOCAL_NAMES];
  const certificate = await issueCertificate({ names, days: DAYS });
  return {
    current: () => certificate,
    onChange() {},
    close() {},
  };
}
