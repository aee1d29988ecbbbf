import '../../src/admission/certificates/decorator-metadata.ts';
import { webcrypto } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { Agent } from 'undici';
import { describe, expect, it } from 'vitest';
import { type Authority, issueAuthority } from '../../src/admission/certificates/issue.ts';
import { openClientCa } from '../../src/admission/index.ts';
import {
  collectingLogger,
  LXCFS,
  onCleanup,
  podWith,
  type Rig,
  reviewOf,
  scratch,
  send,
  startRig,
  until,
} from './support.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** A client's certificate, as `kubeadm` makes one for an API server. */
async function clientCertificate(ca: Authority, name: string, days = 1): Promise<{ cert: string; key: string }> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const der = x509.PemConverter.decodeFirst(ca.key);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: new x509.X509Certificate(ca.cert).subject,
    notBefore: new Date(Date.now() - 7 * 86_400_000),
    notAfter: new Date(Date.now() + days * 86_400_000),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
  });
  const key = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  return { cert: certificate.toString('pem'), key };
}

async function ask({ webhook }: Rig, certificate?: { cert: string; key: string }) {
  const agent = new Agent({ connect: { ca: webhook.ca, ...certificate } });
  onCleanup(() => agent.destroy());
  const options = { method: 'POST', headers: { 'content-type': 'application/json' }, dispatcher: agent } as const;
  return send(`${webhook.url}/mutate/pods`, { ...options, body: reviewOf(podWith(LXCFS)) });
}

describe('a webhook with a CA of clients', () => {
  it('answers API servers that show a certificate of it, and tells all others why not', async () => {
    const [ca, other] = await Promise.all([issueAuthority(1), issueAuthority(1)]);
    const file = join(await scratch(), 'ca.crt');
    await writeFile(file, ca.cert);
    const rig = await startRig({ clientCa: openClientCa(file, collectingLogger([])), clientNames: ['kube-apiserver'] });

    expect((await ask(rig, await clientCertificate(ca, 'kube-apiserver'))).json.response.allowed).toBe(true);
    const refused: ReadonlyArray<[certificate: { cert: string; key: string } | undefined, why: string]> = [
      [undefined, 'it has sent no certificate'],
      [await clientCertificate(other, 'kube-apiserver'), 'its certificate is not valid for --tls-client-ca'],
      [await clientCertificate(ca, 'kube-apiserver', -1), 'CERT_HAS_EXPIRED'],
      [await clientCertificate(ca, 'some-kubelet'), 'its certificate is for some-kubelet'],
    ];
    for (const [certificate, why] of refused) {
      const { statusCode, json } = await ask(rig, certificate);
      expect(statusCode).toBe(403);
      expect(json.message).toContain(why);
      expect(json.details.causes).toEqual([{ reason: 'client_unauthenticated' }]);
      expect(rig.lines.at(-1)?.msg).toContain(why);
    }
    // Probes of the HTTPS port have no certificate.
    expect((await rig.get(`${rig.webhook.url}/readyz`)).statusCode).toBe(200);
  });

  it('takes up a new CA when its file changes', async () => {
    const [ca, next] = await Promise.all([issueAuthority(1), issueAuthority(1)]);
    const file = join(await scratch(), 'ca.crt');
    await writeFile(file, ca.cert);
    const lines: Parameters<typeof collectingLogger>[0] = [];
    const rig = await startRig({ clientCa: openClientCa(file, collectingLogger(lines)) });
    const certificate = await clientCertificate(next, 'kube-apiserver');
    expect((await ask(rig, certificate)).statusCode).toBe(403);

    await writeFile(`${file}.new`, ca.cert + next.cert);
    await rename(`${file}.new`, file);
    await until(() => lines.some(({ msg }) => msg === 'CA of clients reloaded'));
    expect((await ask(rig, certificate)).statusCode).toBe(200);
    expect((await ask(rig, await clientCertificate(ca, 'kube-apiserver'))).statusCode).toBe(200);

    await writeFile(`${file}.new`, 'broken');
    await rename(`${file}.new`, file);
    await until(() => lines.some(({ msg }) => msg.startsWith('CA of clients not reloaded')));
    expect((await ask(rig, certificate)).statusCode).toBe(200);
  });
});
