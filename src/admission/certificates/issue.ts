import './decorator-metadata.ts';
import { createPrivateKey, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import type { Certificate } from './certificate.ts';

export interface IssueOptions {
  /** DNS names and IP addresses that the leaf is for, the most telling first. */
  readonly names: readonly string[];
  /** How long both certificates are valid. */
  readonly days: number;
}

export interface Issued extends Certificate {
  readonly ca: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** Clocks of nodes differ: a certificate from now on would be refused by one that is behind. */
const BACKDATE_MS = 3_600_000;

/** A CA whose key was kept, to sign more than one leaf. */
export type Authority = Certificate;

/**
 * Makes a CA and a leaf for serving TLS, both ECDSA P-256. The CA's key is not kept: it signs this one leaf and nothing after it.
 */
export async function issueCertificate({ names, days }: IssueOptions): Promise<Issued> {
  const authority = await issueAuthority(days);
  return { ...(await issueLeaf(authority, { names, days })), ca: authority.cert };
}

/** Makes a CA, ECDSA P-256, that is valid for so many days. */
export async function issueAuthority(days: number): Promise<Authority> {
  const keys = await generateKeys();
  const { notBefore, notAfter } = validity(days);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    // Distinct names for distinct CAs: TLS clients look a signer up by its name first.
    name: `CN=hotmount-ca-${randomHex(4)}`,
    notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: pemOf(ca), key: await exportKey(keys.privateKey), notAfter };
}

/** Makes a leaf for serving TLS, ECDSA P-256, that does not outlive its CA. */
export async function issueLeaf(authority: Authority, { names, days }: IssueOptions): Promise<Certificate> {
  const issuer = new x509.X509Certificate(authority.cert);
  const keys = await generateKeys();
  const { notBefore, notAfter } = validity(days);
  const end = new Date(Math.min(notAfter.getTime(), issuer.notAfter.getTime()));
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    // Clients go by the alternative names alone (RFC 9110, 4.3.4); a CN is limited to 64 characters, which service names are not.
    subject: 'CN=hotmount-webhook',
    issuer: issuer.subject,
    notBefore,
    notAfter: end,
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names.map((name) => ({ type: isIP(name) ? 'ip' : 'dns', value: name }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { cert: pemOf(leaf), key: await exportKey(keys.privateKey), notAfter: end };
}

/** From a little while ago. Certificates have whole seconds. */
function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return {
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(Math.floor((now + days * DAY_MS) / 1000) * 1000),
  };
}

const pemOf = (certificate: x509.X509Certificate): string => `${certificate.toString('pem')}\n`;

const exportKey = async (key: webcrypto.CryptoKey): Promise<string> =>
  `${x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;

/** By way of node:crypto, which reads every form of key that OpenSSL writes. */
function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const pkcs8 = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', pkcs8, ALGORITHM, false, ['sign']);
}

const generateKeys = () => webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);

const randomHex = (bytes: number): string =>
  Buffer.from(webcrypto.getRandomValues(new Uint8Array(bytes))).toString('hex');

/** 127 random bits, positive and of full length, as RFC 5280 (4.1.2.2) requires. */
const serialNumber = (): string => `4${randomHex(16).slice(1)}`;
