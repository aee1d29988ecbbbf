import './reflect.ts';
import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import type { Certificate } from './certificates.ts';

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

/**
 * Makes a CA and a leaf for serving TLS, both ECDSA P-256. The CA's key is not kept: it signs this one leaf and nothing after it.
 */
export async function issueCertificate({ names, days }: IssueOptions): Promise<Issued> {
  const [caKeys, leafKeys] = await Promise.all([generateKeys(), generateKeys()]);
  const notBefore = new Date(Date.now() - BACKDATE_MS);
  const notAfter = new Date(Math.floor((Date.now() + days * DAY_MS) / 1000) * 1000);
  // Distinct names for distinct CAs: TLS clients look a signer up by its name first.
  const caName = `CN=hotmount-ca-${randomHex(4)}`;

  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: caName,
    notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    keys: caKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    // Clients go by the alternative names alone (RFC 9110, 4.3.4); a CN is limited to 64 characters, which service names are not.
    subject: 'CN=hotmount-webhook',
    issuer: caName,
    notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    publicKey: leafKeys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names.map((name) => ({ type: isIP(name) ? 'ip' : 'dns', value: name }))),
      await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  const key = await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey);
  return {
    ca: `${ca.toString('pem')}\n`,
    cert: `${leaf.toString('pem')}\n`,
    key: `${x509.PemConverter.encode(key, 'PRIVATE KEY')}\n`,
    notAfter,
  };
}

const generateKeys = () => webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);

const randomHex = (bytes: number): string =>
  Buffer.from(webcrypto.getRandomValues(new Uint8Array(bytes))).toString('hex');

/** 127 random bits, positive and of full length, as RFC 5280 (4.1.2.2) has it. */
const serialNumber = (): string => `4${randomHex(16).slice(1)}`;
