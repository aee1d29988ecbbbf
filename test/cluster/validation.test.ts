import { afterAll, beforeAll, expect, test } from 'vitest';
import { isObject, type JsonObject } from '../../src/contract/json.ts';
import { REASONS, type Reason } from '../../src/contract/reasons.ts';
import { loadCases } from '../golden/case.ts';
import type { ApiAnswer, ApiClient } from './api-client.ts';
import { describeInCluster } from './describe-in-cluster.ts';
import { REFUSED_BY_API_SERVER, uncheckedVariants } from './unchecked.ts';

/**
 * The API server's own validation, by server-side dry-run, with no webhook involved: what the core makes of the golden cases is what
 * Kubernetes takes, and what the core denies because Kubernetes would not take it, Kubernetes does not take.
 */
const NAMESPACE = 'golden';

/** Inputs that no API server takes, with hotmount or without; they show what the core makes of them all the same. */
const REFUSED_INPUTS = ['containers-ephemeral', 'workload-custom-resource'];

/** Pods that name a RuntimeClass are refused where it is not there. */
const SANDBOXES = ['kata-qemu', 'gvisor'];
const RUNTIME_CLASS = { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', handler: 'sandbox' };

const allowed = loadCases().filter(({ error, denials }) => error === undefined && denials.length === 0);
const variants = uncheckedVariants(loadCases());

describeInCluster('the API server', (cluster) => {
  let api: ApiClient;
  beforeAll(async () => {
    api = await cluster().apiClient();
    await cluster().apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'copier', namespace: NAMESPACE } },
      ...SANDBOXES.map((name) => ({ ...RUNTIME_CLASS, metadata: { name } })),
    ]);
    await cluster().eventually(() => cluster().kubectl('get', 'serviceaccount', 'default', '-n', NAMESPACE));
  });
  afterAll(async () => {
    await api.close();
    await cluster().kubectl('delete', 'namespace', NAMESPACE, '--wait=false');
    await cluster().kubectl('delete', 'runtimeclass', ...SANDBOXES);
  });

  /** Fields from the future are dropped with a warning, as API servers do for clients that do not ask for more. */
  const dryRun = (object: JsonObject): Promise<ApiAnswer> => {
    const metadata = isObject(object['metadata']) ? object['metadata'] : {};
    const named = { ...object, metadata: { ...metadata, namespace: NAMESPACE } };
    return api.create(NAMESPACE, named, 'dryRun=All&fieldValidation=Warn');
  };

  test.each(allowed)('takes what comes out of $name', async ({ name, input, output }) => {
    const before = await dryRun(input);
    const after = await dryRun(output);
    if (REFUSED_INPUTS.includes(name)) {
      expect(before.code).toBeGreaterThanOrEqual(400);
      expect(after.body).toEqual(before.body);
    } else {
      expect([before.code, after.code], `${before.body.message} ${after.body.message}`).toEqual([201, 201]);
    }
  });

  test.each(variants)('refuses $reason: $name, unchecked', async ({ input, unchecked, message }) => {
    const before = await dryRun(input);
    expect(before.code, before.body.message).toBe(201);
    const after = await dryRun(unchecked);
    expect(after.code, JSON.stringify(unchecked)).toBe(422);
    expect(after.body.message).toMatch(message);
  });

  test('every conflict is either refused by the API server or known to fail later', () => {
    const conflicts = (Object.keys(REASONS) as Reason[]).filter((reason) => REASONS[reason].kind === 'conflict');
    const shown = new Set(variants.map(({ reason }) => reason));
    expect([...shown].sort()).toEqual([...REFUSED_BY_API_SERVER].sort());
    expect(conflicts).toEqual(expect.arrayContaining([...REFUSED_BY_API_SERVER]));
  });
});
