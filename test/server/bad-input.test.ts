import { Readable } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { API_SERVER_LIMITS } from '../../src/admission/server/tls-server.ts';
import { LXCFS, onCleanup, podWith, type Rig, reviewOf, send, startRig, until } from './support.ts';

const MIB = 1024 * 1024;
const good = reviewOf(podWith(LXCFS));
const edited = (change: (review: Record<string, unknown> & { request: Record<string, unknown> }) => void): string => {
  const review = JSON.parse(good);
  change(review);
  return JSON.stringify(review);
};

type Bad = [what: string, code: number, reason: string, body: string | Buffer, type?: string];
const BAD: readonly Bad[] = [
  ['another content type', 415, 'content_type_unsupported', good, 'text/plain'],
  ['YAML', 415, 'content_type_unsupported', 'kind: Pod', 'application/yaml'],
  ['a form', 415, 'content_type_unsupported', 'a=b', 'application/x-www-form-urlencoded'],
  ['no content type', 415, 'content_type_unsupported', good, ''],
  ['a content type that is none', 415, 'content_type_unsupported', good, ';;;'],
  ['no body', 400, 'json_invalid', ''],
  ['truncated JSON', 400, 'json_invalid', good.slice(0, -20)],
  ['text', 400, 'json_invalid', 'hello'],
  ['bytes that are not UTF-8', 400, 'json_invalid', Buffer.from([0xff, 0xfe, 0x00, 0x80])],
  ['null', 400, 'review_invalid', 'null'],
  ['an array', 400, 'review_invalid', '[]'],
  ['deep nesting', 400, 'review_invalid', '['.repeat(200_000) + ']'.repeat(200_000)],
  ['a bare pod', 400, 'review_invalid', JSON.stringify(podWith(LXCFS))],
  [
    'v1beta1',
    400,
    'review_version_unsupported',
    edited((r) => Object.assign(r, { apiVersion: 'admission.k8s.io/v1beta1' })),
  ],
  ['no version', 400, 'review_version_unsupported', edited((r) => Object.assign(r, { apiVersion: undefined }))],
  ['no request', 400, 'request_missing', edited((r) => Object.assign(r, { request: undefined }))],
  ['a request that is a list', 400, 'request_missing', edited((r) => Object.assign(r, { request: [] }))],
  ['no uid', 400, 'request_invalid', edited((r) => Object.assign(r.request, { uid: undefined }))],
  ['a uid that is a number', 400, 'request_invalid', edited((r) => Object.assign(r.request, { uid: 7 }))],
  ['no kind', 400, 'request_invalid', edited((r) => Object.assign(r.request, { kind: undefined }))],
  ['no operation', 400, 'request_invalid', edited((r) => Object.assign(r.request, { operation: '' }))],
  ['a namespace that is an object', 400, 'request_invalid', edited((r) => Object.assign(r.request, { namespace: {} }))],
  ['no object', 400, 'object_missing', edited((r) => Object.assign(r.request, { object: null }))],
  ['an object that is a string', 400, 'object_missing', edited((r) => Object.assign(r.request, { object: 'pod' }))],
  [
    'a pod with containers that are none',
    400,
    'object_invalid',
    reviewOf({ ...podWith(LXCFS), spec: { containers: 7 } }),
  ],
  ['more than 7 MiB', 413, 'body_too_large', Buffer.alloc(7 * MIB + 1, ' ')],
];

describe('bad input', () => {
  it.each<Bad>(BAD as Bad[])(
    '%s: %i, one clear body, one clear log line, and the server goes on',
    async (_, code, reason, body, type) => {
      const rig = await startRig();
      const headers = type === '' ? {} : { 'content-type': type ?? 'application/json' };

      const answer = await rig.post('/mutate/pods', body, headers);
      expect(answer.statusCode).toBe(code);
      expect(answer.json).toMatchObject({ apiVersion: 'v1', kind: 'Status', status: 'Failure', code });
      expect(answer.json.message).toMatch(/^hotmount: .{10,}/);
      expect(answer.json.details.causes).toEqual([{ reason }]);

      expect(rig.lines).toHaveLength(1);
      expect(rig.lines[0]).toMatchObject({ level: 40, code, reason, path: '/mutate/pods', from: '127.0.0.1' });
      expect(rig.lines[0]?.msg).not.toContain('hunter2');

      expect((await rig.post('/mutate/pods', good)).json.response.allowed).toBe(true);
      expect(await rig.metrics()).toContain(
        `hotmount_admission_requests_total{outcome="invalid",reason="${reason}"} 1`,
      );
    },
  );

  it('takes a content type with parameters, in any case', async () => {
    const rig = await startRig();
    const answer = await rig.post('/mutate/pods', good, { 'content-type': 'Application/JSON; charset=utf-8' });
    expect(answer.statusCode).toBe(200);
  });

  it('takes a body of exactly 7 MiB, and refuses a longer one that does not give its length', async () => {
    const rig = await startRig();
    expect((await rig.post('/mutate/pods', good.padEnd(7 * MIB))).json.response.allowed).toBe(true);

    const stream = Readable.from([Buffer.from(good), Buffer.alloc(7 * MIB, ' ')]);
    const answer = await rig.post('/mutate/pods', stream);
    expect(answer.statusCode).toBe(413);
  });

  it('knows its paths, and says so', async () => {
    const rig = await startRig();
    const { url } = rig.webhook;
    for (const answer of [
      await rig.post('/mutate/pod', good),
      await rig.get(`${url}/mutate/pods`),
      await rig.get(`${url}/`),
    ]) {
      expect(answer.statusCode).toBe(404);
      expect(answer.json).toMatchObject({
        kind: 'Status',
        reason: 'NotFound',
        message: expect.stringContaining('/mutate/pods'),
      });
    }
  });
});

describe('what is not a request', () => {
  it('answers 400 to what is not HTTP, and 431 to headers without end', async () => {
    const rig = await startRig();
    expect(await talk(rig, 'hello?\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    expect(await talk(rig, `GET / HTTP/1.1\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
    expect((await rig.post('/mutate/pods', good)).statusCode).toBe(200);
  });

  it('ends a client that dribbles its headers or its body, and answers others meanwhile', async () => {
    const rig = await startRig({ limits: { ...API_SERVER_LIMITS, request: 2_000, check: 50 } });
    const head = 'POST /mutate/pods HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
    const slow = [talk(rig, head), talk(rig, `${head}content-length: 100\r\n\r\n{`)];
    expect((await rig.post('/mutate/pods', good)).statusCode).toBe(200);
    for (const answer of await Promise.all(slow)) expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('refuses TLS 1.1', async () => {
    const rig = await startRig();
    const problem = await new Promise((resolve) => {
      const { port } = new URL(rig.webhook.url);
      connect({
        port: Number(port),
        host: '127.0.0.1',
        ca: rig.webhook.ca,
        minVersion: 'TLSv1.1',
        maxVersion: 'TLSv1.1',
        ciphers: 'ALL@SECLEVEL=0',
      }).once('error', resolve);
    });
    expect(problem).toMatchObject({ code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
  });

  it('says in the log what to do about a client that speaks plain HTTP', async () => {
    const rig = await startRig();
    await expect(send(rig.webhook.url.replace('https', 'http'), { method: 'GET' })).rejects.toThrow();
    await until(() => rig.lines.length > 0);
    expect(rig.lines[0]).toMatchObject({ level: 40, msg: expect.stringContaining('on the metrics port') });
  });
});

/** Sends raw bytes over TLS, and resolves to all that comes back. */
async function talk(rig: Rig, bytes: string): Promise<string> {
  const { port } = new URL(rig.webhook.url);
  const socket: TLSSocket = connect({ port: Number(port), host: '127.0.0.1', ca: rig.webhook.ca });
  onCleanup(() => socket.destroy());
  return new Promise((resolve) => {
    let received = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      received += text;
    });
    socket.on('error', () => {}).on('close', () => resolve(received));
    socket.write(bytes);
  });
}
