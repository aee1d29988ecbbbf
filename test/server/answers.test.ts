import jsonPatch from 'fast-json-patch';
import { describe, expect, it } from 'vitest';
import { defaultPolicyText, parsePolicy } from '../../src/policy/index.ts';
import { freePort } from '../ports.ts';
import { fixed, LXCFS, podWith, reviewOf, send, startRig, until } from './support.ts';

const byLabels = parsePolicy(
  `${defaultPolicyText()}
  - name: trusted
    namespaces: ["*"]
    namespaceLabels: { team: [edge] }
    allow: { capabilities: [NET_ADMIN] }
`,
  { file: 'policy.yaml' },
);

describe('POST /mutate/pods', () => {
  it('answers with the uid, the exact version and a patch that applies', async () => {
    const rig = await startRig();
    const pod = podWith(LXCFS);
    const { json, headers } = await rig.post('/mutate/pods', reviewOf(pod, { uid: 'the-uid' }));
    expect(headers['content-type']).toMatch(/^application\/json/);
    expect(json).toMatchObject({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' });
    expect(json.response).toMatchObject({ uid: 'the-uid', allowed: true, patchType: 'JSONPatch' });
    expect(json.response.auditAnnotations).toMatchObject({ outcome: 'allowed', rules: 'everyone' });

    const patch = JSON.parse(Buffer.from(json.response.patch, 'base64').toString());
    const patched = jsonPatch.applyPatch(structuredClone(pod) as object, patch, true).newDocument;
    expect(patched).toMatchObject({ metadata: { annotations: { 'hotmount.io/status': expect.any(String) } } });
    const second = await rig.post('/mutate/pods', reviewOf(patched as typeof pod));
    expect(second.json.response).toMatchObject({ allowed: true });
    expect(second.json.response).not.toHaveProperty('patch');
    expect(second.json.response).not.toHaveProperty('patchType');
  });

  it('denies with all the reasons, as the API server shows them', async () => {
    const rig = await startRig();
    const pod = podWith({ 'hotmount.io/dev': 'true', 'hotmount.io/lxfcs': 'true' });
    const { statusCode, json } = await rig.post('/mutate/pods', reviewOf(pod));
    expect(statusCode).toBe(200);
    expect(json.response).toMatchObject({ allowed: false, status: { code: 403, reason: 'Forbidden' } });
    expect(json.response.status.message).toMatch(/^2 problems:/);
    expect(json.response.status.message).toContain('"hotmount.io/lxfcs"');
    expect(json.response.status.message).toContain('/host-dev');
    expect(json.response).not.toHaveProperty('patch');
    expect(json.response.auditAnnotations.reasons.split(',').sort()).toEqual(['annotation_unknown', 'dev_not_allowed']);
    expect(await rig.metrics()).toMatch(/requests_total\{outcome="denied",reason="\w+"\} 1/);
  });

  it.each([
    ['DELETE, which has no object', 'unexpected_operation', { operation: 'DELETE', object: null }],
    ['CONNECT', 'unexpected_operation', { operation: 'CONNECT', subResource: 'exec', object: null }],
    ['UPDATE', 'unexpected_operation', { operation: 'UPDATE' }],
    ['an operation of the future', 'unexpected_operation', { operation: 'TELEPORT' }],
    ['a subresource', 'unexpected_operation', { operation: 'UPDATE', subResource: 'ephemeralcontainers' }],
    ['another kind', 'unexpected_kind', { kind: { group: '', version: 'v1', kind: 'Service' } }],
    ['a kind of the same name', 'unexpected_kind', { kind: { group: 'acme.example', version: 'v1', kind: 'Pod' } }],
  ])('leaves alone what it has nothing to do with: %s', async (_, reason, request) => {
    const rig = await startRig();
    const { json } = await rig.post('/mutate/pods', reviewOf(podWith(LXCFS), request));
    expect(json.response).toEqual({
      uid: expect.any(String),
      allowed: true,
      auditAnnotations: { outcome: 'allowed', reasons: reason },
    });
    expect(rig.lines[0]).toMatchObject({ outcome: 'allowed', reason });
  });

  it('fails the call, rather than deny, where it would have to guess the labels of a namespace', async () => {
    const rig = await startRig({ policy: fixed(byLabels) });
    const { statusCode, json } = await rig.post(
      '/mutate/pods',
      reviewOf(podWith({ 'hotmount.io/capabilities': 'NET_ADMIN' })),
    );
    expect(statusCode).toBe(500);
    expect(json).toMatchObject({ kind: 'Status', code: 500, message: expect.stringContaining('namespace default') });
    expect(rig.lines[0]).toMatchObject({ level: 50, reason: 'namespace_labels_unknown', namespace: 'default' });
    expect(await rig.metrics()).toContain('{outcome="failed",reason="namespace_labels_unknown"} 1');
  });

  it('asks for the labels of the namespace of the request', async () => {
    const asked: string[] = [];
    const rig = await startRig({
      policy: fixed(byLabels),
      namespaceLabels: async (namespace) => {
        asked.push(namespace);
        return { team: 'edge' };
      },
    });
    const pod = podWith({ 'hotmount.io/capabilities': 'NET_ADMIN' });
    const { json } = await rig.post('/mutate/pods', reviewOf(pod, { namespace: 'edge-1' }));
    expect(json.response).toMatchObject({ allowed: true, auditAnnotations: { rules: 'trusted' } });
    expect(asked).toEqual(['edge-1']);
  });

  it('gives a dry run the same answer', async () => {
    const rig = await startRig();
    const [real, dry] = await Promise.all(
      [false, true].map((dryRun) => rig.post('/mutate/pods', reviewOf(podWith(LXCFS), { uid: 'same', dryRun }))),
    );
    expect(dry?.text).toBe(real?.text);
    expect(rig.lines.map((line) => line['dryRun'])).toContain(true);
  });
});

describe('POST /mutate/workloads', () => {
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', annotations: { 'hotmount.io/dev': 'true' } },
    spec: { template: { spec: { containers: [{ name: 'app', image: 'registry.example/app' }] } } },
  };
  const kind = { group: 'apps', version: 'v1', kind: 'Deployment' };

  it.each(['CREATE', 'UPDATE'])(
    'carries annotations on %s, and warns of what its pods would be denied',
    async (operation) => {
      const rig = await startRig();
      const { json } = await rig.post('/mutate/workloads', reviewOf(deployment, { kind, operation }));
      expect(json.response).toMatchObject({ allowed: true, patchType: 'JSONPatch' });
      expect(Buffer.from(json.response.patch, 'base64').toString()).toContain('from-workload');
      expect(json.response.warnings.join()).toContain('would be denied');
      expect(rig.lines[0]).toMatchObject({ kind: 'Deployment', name: 'web', outcome: 'allowed', reason: 'carried' });
    },
  );

  it('leaves pods and custom resources alone', async () => {
    const rig = await startRig();
    for (const kind of [
      { group: '', version: 'v1', kind: 'Pod' },
      { group: 'acme.example', version: 'v1', kind: 'Job' },
    ]) {
      const { json } = await rig.post('/mutate/workloads', reviewOf(podWith(LXCFS), { kind }));
      expect(json.response).toMatchObject({ allowed: true, auditAnnotations: { reasons: 'unexpected_kind' } });
    }
  });
});

describe('the log', () => {
  it('has one line for a decision: what about, why, how long; nothing of the environment or of other annotations', async () => {
    const rig = await startRig();
    const pod = podWith(
      { ...LXCFS, note: 'secret-note' },
      {
        ownerReferences: [
          { kind: 'Node', name: 'n1' },
          { kind: 'ReplicaSet', name: 'web-5d9c', controller: true },
        ],
      },
    );
    await rig.post('/mutate/pods', reviewOf(pod, { uid: 'u-1', namespace: 'shop' }));
    expect(rig.lines).toHaveLength(1);
    expect(rig.lines[0]).toMatchObject({
      level: 30,
      msg: 'decided',
      uid: 'u-1',
      operation: 'CREATE',
      kind: 'Pod',
      namespace: 'shop',
      generateName: 'web-',
      owner: 'ReplicaSet/web-5d9c',
      outcome: 'allowed',
      reason: 'injected',
      rules: ['everyone'],
      ms: expect.any(Number),
    });
    expect(JSON.stringify(rig.lines)).not.toMatch(/hunter2|PASSWORD|secret-note/);
  });

  it('stays on one line, whatever the names are', async () => {
    const rig = await startRig();
    const name = 'a\nb\u001b[31m'.padEnd(5_000, 'x');
    await rig.post('/mutate/pods', reviewOf(podWith(LXCFS, { name }), { uid: name, namespace: name }));
    for (const key of ['uid', 'namespace', 'name']) {
      expect(String(rig.lines[0]?.[key])).toMatch(/^a\ufffdb\ufffd\[31mx+…$/);
    }
  });
});

describe('health and metrics', () => {
  it('are served without TLS on their own port, and health on both', async () => {
    const rig = await startRig();
    const { url, metricsUrl } = rig.webhook;
    for (const base of [url, metricsUrl]) {
      expect(await rig.get(`${base}/healthz`)).toMatchObject({ statusCode: 200, text: 'ok\n' });
      expect(await rig.get(`${base}/readyz`)).toMatchObject({ statusCode: 200, text: 'ok\n' });
    }
    expect((await rig.get(`${url}/metrics`)).statusCode).toBe(404);
    expect((await rig.get(`${metricsUrl}/mutate/pods`)).statusCode).toBe(404);
  });

  it('count decisions by outcome and reason, and say when the certificate ends', async () => {
    const rig = await startRig();
    await rig.post('/mutate/pods', reviewOf(podWith(LXCFS)));
    await rig.post('/mutate/pods', reviewOf(podWith({})));
    const metrics = await rig.metrics();
    expect(metrics).toContain('hotmount_admission_requests_total{outcome="allowed",reason="injected"} 1');
    expect(metrics).toContain('hotmount_admission_requests_total{outcome="allowed",reason="not_requested"} 1');
    expect(metrics).toContain('hotmount_admission_requests_total{outcome="failed",reason="internal_error"} 0');
    expect(metrics).toContain('hotmount_admission_duration_seconds_count 2');
    expect(metrics).toMatch(/^hotmount_build_info\{version="[\d.]+",node="[\d.]+"\} 1$/m);
    expect(metrics).toContain('hotmount_policy_reloads_total{outcome="failure"} 0');
    const expiry = Number(/^hotmount_certificate_expiry_timestamp_seconds (\d+)$/m.exec(metrics)?.[1]);
    expect(expiry).toBeGreaterThan(Date.now() / 1000);
    const names = [...metrics.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name).sort();
    expect(names).toEqual([
      'hotmount_admission_displaced_total',
      'hotmount_admission_duration_seconds',
      'hotmount_admission_requests_total',
      'hotmount_build_info',
      'hotmount_certificate_expiry_timestamp_seconds',
      'hotmount_policy_broken',
      'hotmount_policy_reloads_total',
    ]);
  });

  it('say that it is not ready while the policy is being loaded', async () => {
    const loading = Promise.withResolvers<ReturnType<typeof fixed>>();
    const metricsPort = await freePort();
    const starting = startRig({ policy: loading.promise, metricsPort });
    const url = `http://127.0.0.1:${metricsPort}`;
    await until(() =>
      send(`${url}/healthz`, { method: 'GET' }).then(
        () => true,
        () => false,
      ),
    );
    expect(await send(`${url}/readyz`, { method: 'GET' })).toMatchObject({
      statusCode: 503,
      text: expect.stringMatching(/^not ready: still loading the policy/),
    });
    loading.resolve(fixed(byLabels));
    const rig = await starting;
    expect((await rig.get(`${url}/readyz`)).statusCode).toBe(200);
  });

  it('leave nothing open where the start fails', async () => {
    const metricsPort = await freePort();
    await expect(startRig({ policy: Promise.reject(new Error('no policy')), metricsPort })).rejects.toThrow(
      'no policy',
    );
    const rig = await startRig({ metricsPort });
    expect(rig.webhook.metricsUrl).toBe(`http://127.0.0.1:${metricsPort}`);
    await expect(startRig({ metricsPort })).rejects.toThrow(
      `cannot listen on port ${metricsPort} of 127.0.0.1: another process uses it`,
    );
  });
});
