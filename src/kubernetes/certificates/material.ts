import { X509Certificate } from 'node:crypto';
import type { V1Secret } from '@kubernetes/client-node';
import { type Certificate, checkCertificate } from '../../admission/certificates/certificate.ts';
import type { Authority } from '../../admission/certificates/issue.ts';
import { quote } from '../../contract/suggest.ts';
import type { CertificateState, Since, Step } from './plan.ts';

/** What the Secret holds, read and checked: what is broken is undefined. */
export interface Material {
  readonly ca: Authority | undefined;
  readonly next: (Authority & Since) | undefined;
  /** Trusted for a while yet, and signs nothing any more. */
  readonly old: ({ readonly cert: string } & Since) | undefined;
  readonly leaf: Certificate | undefined;
  readonly rotate: 'ca' | 'leaf' | undefined;
}

/** The keys of the Secret. Those of the leaf are what `type: kubernetes.io/tls` asks for. */
const KEYS = {
  leaf: ['tls.crt', 'tls.key'],
  ca: ['ca.crt', 'ca.key'],
  next: ['next-ca.crt', 'next-ca.key'],
  old: 'old-ca.crt',
} as const;
const SINCE = { next: 'hotmount.io/next-ca-since', old: 'hotmount.io/old-ca-since' } as const;
/** Set to `ca` or `leaf` by a person, to have it renewed now; taken away when that has begun. */
export const ROTATE_ANNOTATION = 'hotmount.io/rotate';

const LEAF_DAYS = 90;
const CA_DAYS = 730;

/** Reads the Secret's data and annotations. Never throws: a broken part is a missing one. */
export function readMaterial({ data = {}, metadata }: V1Secret): Material {
  const annotations = metadata?.annotations ?? {};
  const text = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString();
  const pair = ([cert, key]: readonly [string, string]): Certificate | undefined =>
    attempt(() => checkCertificate({ cert: text(cert), key: text(key) }));
  const since = (key: string) => Date.parse(annotations[key] ?? '') || 0;
  const next = pair(KEYS.next);
  const old = text(KEYS.old);
  const rotate = annotations[ROTATE_ANNOTATION];
  return {
    ca: pair(KEYS.ca),
    next: next && { ...next, since: since(SINCE.next) },
    old: attempt(() => new X509Certificate(old)) && { cert: old, since: since(SINCE.old) },
    leaf: pair(KEYS.leaf),
    rotate: isRotate(rotate) ? rotate : undefined,
  };
}

/** What is wrong with what a person wants renewed; undefined: nothing. */
export function rotateProblem(secret: V1Secret | undefined): string | undefined {
  const rotate = secret?.metadata?.annotations?.[ROTATE_ANNOTATION];
  if (rotate === undefined || isRotate(rotate)) return undefined;
  return `the annotation ${ROTATE_ANNOTATION} is ${quote(rotate)}; expected "ca" or "leaf"`;
}

const isRotate = (value: string | undefined): value is 'ca' | 'leaf' => value === 'ca' || value === 'leaf';

/** The Secret with that material in it. Everything else about it, other people's keys too, stays. */
export function writeMaterial(secret: V1Secret, { ca, next, old, leaf, rotate }: Material): V1Secret {
  const data = { ...secret.data };
  const annotations = { ...secret.metadata?.annotations };
  const put = (into: Record<string, string>, key: string, value: string | undefined): void => {
    if (value === undefined) delete into[key];
    else into[key] = value;
  };
  const base64 = (value: string | undefined) => value && Buffer.from(value).toString('base64');
  const time = (at: Since | undefined) => at && new Date(at.since).toISOString();
  for (const [[cert, key], pair] of [
    [KEYS.leaf, leaf],
    [KEYS.ca, ca],
    [KEYS.next, next],
  ] as const) {
    put(data, cert, base64(pair?.cert));
    put(data, key, base64(pair?.key));
  }
  put(data, KEYS.old, base64(old?.cert));
  put(annotations, SINCE.next, time(next));
  put(annotations, SINCE.old, time(old));
  // A mistake stays for its author to see.
  if (isRotate(annotations[ROTATE_ANNOTATION])) put(annotations, ROTATE_ANNOTATION, rotate);
  return { ...secret, data, metadata: { ...secret.metadata, annotations } };
}

/** What API servers must trust: every CA that any replica's leaf may come from, now or next. PEM. */
export const trusted = ({ ca, next, old }: Material): string =>
  [...new Set([ca, next, old].flatMap((authority) => (authority ? [`${authority.cert.trim()}\n`] : [])))].join('');

/** The material as the plan sees it. */
export function stateOf({ ca, next, old, leaf, rotate }: Material, names: readonly string[]): CertificateState {
  const x509 = leaf && new X509Certificate(leaf.cert);
  const issuer = ca && new X509Certificate(ca.cert);
  return {
    ca: ca && validityOf(ca),
    next: next && { ...validityOf(next), since: next.since },
    old,
    leaf: x509 && {
      ...validityOf(x509),
      signedByCa:
        issuer !== undefined && attempt(() => x509.checkIssued(issuer) && x509.verify(issuer.publicKey)) === true,
      namesMatch: names.every((name) => x509.checkHost(name, { subject: 'never' }) !== undefined),
    },
    rotate,
  };
}

/** Takes one step of the plan. */
export async function takeStep(
  step: Step,
  material: Material,
  { now, names }: { now: number; names: readonly string[] },
): Promise<Material> {
  const { ca, next, old, leaf } = material;
  // x509 takes 7 MB: a webhook that finds all in the Secret does without.
  const { issueAuthority, issueLeaf } = await import('../../admission/certificates/issue.ts');
  switch (step) {
    case 'replace_ca': {
      const authority = await issueAuthority(CA_DAYS);
      return {
        ca: authority,
        next: undefined,
        // Expired here, perhaps, by a clock that is wrong; other replicas still serve what it signed.
        old: ca ? { cert: ca.cert, since: now } : old,
        leaf: await issueLeaf(authority, { names, days: LEAF_DAYS }),
        rotate: undefined,
      };
    }
    case 'introduce_next_ca':
      return {
        ...material,
        next: { ...(await issueAuthority(CA_DAYS)), since: now },
        rotate: material.rotate === 'ca' ? undefined : material.rotate,
      };
    case 'restart_overlap':
      return { ...material, next: next && { ...next, since: now } };
    case 'promote_next_ca':
      return {
        ...material,
        ca: next,
        next: undefined,
        old: ca ? { cert: ca.cert, since: now } : old,
        leaf: next ? await issueLeaf(next, { names, days: LEAF_DAYS }) : leaf,
      };
    case 'prune_old_ca':
      return { ...material, old: undefined };
    case 'restart_pruning':
      return { ...material, old: old && { ...old, since: now } };
    case 'renew_leaf':
      return {
        ...material,
        leaf: ca ? await issueLeaf(ca, { names, days: LEAF_DAYS }) : leaf,
        rotate: material.rotate === 'leaf' ? undefined : material.rotate,
      };
  }
}

function validityOf(certificate: X509Certificate | { readonly cert: string }): { notBefore: number; notAfter: number } {
  const x509 = certificate instanceof X509Certificate ? certificate : new X509Certificate(certificate.cert);
  return { notBefore: x509.validFromDate.getTime(), notAfter: x509.validToDate.getTime() };
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
