import { X509Certificate } from 'node:crypto';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { Agent } from 'undici';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Issued, issueCertificate } from '../../src/admission/certificates/issue.ts';
import { openCertificateFiles, selfSigned } from '../../src/admission/index.ts';
import {
  collectingLogger,
  type LogLine,
  LXCFS,
  onCleanup,
  podWith,
  reviewOf,
  scratch,
  send,
  startRig,
  until,
} from './support.ts';

const review = reviewOf(podWith(LXCFS));
let old: Issued;
let fresh: Issued;
beforeAll(async () => {
  [old, fresh] = (await Promise.all([1, 2].map((days) => issueCertificate({ names: ['127.0.0.1'], days })))) as [
    Issued,
    Issued,
  ];
});

describe('certificate files', () => {
  it('are reloaded when they change; connections that are open go on, new ones get the new certificate', async () => {
    const { rig, files, write } = await rigWithFiles();
    const agent = new Agent({ connect: { ca: old.ca }, connections: 1 });
    onCleanup(() => agent.destroy());
    let connections = 0;
    agent.on('connect', () => connections++);
    const call = () => send(`${rig.webhook.url}/mutate/pods`, post(agent));
    expect((await call()).statusCode).toBe(200);

    await write(fresh);
    await until(async () => (await servedBy(rig.webhook.url)) === fingerprint(fresh.cert));
    expect((await call()).statusCode).toBe(200);
    expect(connections).toBe(1);
    expect(rig.lines).toContainEqual(expect.objectContaining({ msg: 'certificate reloaded', file: files.cert }));

    const trusting = new Agent({ connect: { ca: fresh.ca } });
    onCleanup(() => trusting.destroy());
    expect((await send(`${rig.webhook.url}/mutate/pods`, post(trusting))).statusCode).toBe(200);
    const expiry = fresh.notAfter.getTime() / 1000;
    expect(await rig.metrics()).toContain(`hotmount_certificate_expiry_timestamp_seconds ${expiry}`);
  });

  it('are reloaded when the kubelet swaps the ..data symlink', async () => {
    const directory = await scratch();
    const version = async (name: string, { cert, key }: Issued) => {
      await mkdir(join(directory, name));
      await Promise.all([
        writeFile(join(directory, name, 'tls.crt'), cert),
        writeFile(join(directory, name, 'tls.key'), key),
      ]);
      await symlink(name, join(directory, '..data_tmp'));
      await rename(join(directory, '..data_tmp'), join(directory, '..data'));
    };
    await version('..2026_01', old);
    const files = { cert: join(directory, 'tls.crt'), key: join(directory, 'tls.key') };
    await symlink('..data/tls.crt', files.cert);
    await symlink('..data/tls.key', files.key);
    const rig = await startRig({ certificates: openCertificateFiles(files, collectingLogger([])) });

    await version('..2026_02', fresh);
    await until(async () => (await servedBy(rig.webhook.url)) === fingerprint(fresh.cert));
  });

  it.each([
    ['a key of another certificate', () => ({ cert: fresh.cert, key: old.key }), /is not the key of/],
    ['half a certificate', () => ({ cert: fresh.cert.slice(0, 100), key: fresh.key }), /is not a PEM certificate/],
    ['no key', () => ({ cert: fresh.cert, key: '' }), /is not an unencrypted PEM private key/],
  ])('that are broken are reported, and the last good ones stay: %s', async (_, broken, problem) => {
    const { rig, write } = await rigWithFiles();
    await write(broken());
    const isReport = ({ level, msg }: LogLine) =>
      level === 50 && problem.test(msg) && msg.includes('the last good one stays in use');
    await until(() => rig.lines.some(isReport));
    expect(await servedBy(rig.webhook.url)).toBe(fingerprint(old.cert));

    await write(fresh);
    await until(async () => (await servedBy(rig.webhook.url)) === fingerprint(fresh.cert));
  });

  it('that are gone are reported, and taken up when they are back', async () => {
    const { rig, files, write } = await rigWithFiles();
    await rm(files.key);
    await until(() =>
      rig.lines.some(({ msg }) => msg.includes(`${files.key}: cannot be read: no such file or directory`)),
    );
    expect(await servedBy(rig.webhook.url)).toBe(fingerprint(old.cert));
    await write(fresh);
    await until(async () => (await servedBy(rig.webhook.url)) === fingerprint(fresh.cert));
  });

  it('that cannot be used at the start are an error that names the file', async () => {
    const files = { cert: join(await scratch(), 'tls.crt'), key: '/dev/null' };
    await expect(openCertificateFiles(files, collectingLogger([]))).rejects.toThrow(
      `${files.cert}: cannot be read: no such file or directory (ENOENT)`,
    );
    await writeFile(files.cert, old.cert);
    await expect(openCertificateFiles(files, collectingLogger([]))).rejects.toThrow('/dev/null: is not a regular file');
  });

  it('that have expired are served, with an error in the log', async () => {
    const expired = await issueCertificate({ names: ['127.0.0.1'], days: -0.01 });
    const { lines } = await rigWithFiles(expired);
    expect(lines).toContainEqual(expect.objectContaining({ level: 50, msg: expect.stringContaining('expired at') }));
  });
});

describe('a self-signed certificate', () => {
  it('is for this machine and for the names of the Service, and is verified by its CA alone', async () => {
    const rig = await startRig({ certificates: selfSigned({ namespace: 'hotmount', name: 'webhook' }) });
    const leaf = new X509Certificate(await certificateOf(rig.webhook.url));
    for (const name of ['webhook.hotmount.svc', 'webhook.hotmount.svc.cluster.local', 'localhost']) {
      expect(leaf.checkHost(name)).toBe(name);
    }
    for (const ip of ['127.0.0.1', '::1']) expect(leaf.checkIP(ip)).toBeDefined();
    expect(leaf.checkHost('webhook.other.svc')).toBeUndefined();
    expect((await rig.post('/mutate/pods', review)).statusCode).toBe(200);
    await expect(send(`${rig.webhook.url}/healthz`, { method: 'GET' })).rejects.toMatchObject({
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    });
  });
});

async function rigWithFiles(first: { cert: string; key: string } = old) {
  const directory = await scratch();
  const files = { cert: join(directory, 'tls.crt'), key: join(directory, 'tls.key') };
  const write = async ({ cert, key }: { cert: string; key: string }) => {
    await Promise.all([writeFile(files.cert, cert), writeFile(files.key, key)]);
  };
  await write(first);
  const lines: LogLine[] = [];
  const log = collectingLogger(lines);
  const rig = await startRig({ certificates: openCertificateFiles(files, log), log });
  return { rig: { ...rig, lines }, lines, files, write };
}

const post = (dispatcher: Agent) =>
  ({ method: 'POST', body: review, headers: { 'content-type': 'application/json' }, dispatcher }) as const;

const fingerprint = (pem: string | Buffer): string => new X509Certificate(pem).fingerprint256;
const servedBy = async (url: string): Promise<string> => fingerprint(await certificateOf(url));

/** The leaf, DER, that a new connection gets. */
function certificateOf(url: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().raw);
      socket.destroy();
    });
    socket.once('error', reject);
  });
}
