import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selfSigned, startWebhook, type Webhook } from '../../src/admission/index.ts';
import { type Answer, type ApiClient, apiClient, CallError } from '../../src/commands/demo/client.ts';
import { isObject, type JsonObject } from '../../src/contract/json.ts';
import { REASONS, type Reason } from '../../src/contract/reasons.ts';
import { VOLUME_KINDS, type VolumeKind } from '../../src/contract/volumes.ts';
import { templatePath } from '../../src/injection/index.ts';
import { answered, type Case, loadCases } from './case.ts';

const cases = loadCases();
const isPod = ({ input }: Case) => input['kind'] === 'Pod';

describe('the webhook', () => {
  /** Whose policy and namespace labels are in force. */
  let current = cases[0] as Case;
  const webhooks: Webhook[] = [];
  const apis = new Map<VolumeKind, ApiClient>();

  beforeAll(async () => {
    for (const volumes of VOLUME_KINDS) {
      const webhook = await startWebhook({
        policy: { current: () => current.policy, close() {} },
        certificates: selfSigned(),
        namespaceLabels: async (namespace) =>
          namespace === current.context.namespace ? current.context.namespaceLabels : undefined,
        volumes,
        log: pino({ level: 'silent' }),
        host: '127.0.0.1',
      });
      webhooks.push(webhook);
      apis.set(volumes, apiClient(webhook.url, webhook.ca));
    }
  });
  afterAll(async () => {
    for (const api of apis.values()) api.close();
    for (const webhook of webhooks) await webhook.close();
  });

  const apiFor = ({ context }: Case) => apis.get(context.volumes ?? 'csi') as ApiClient;
  const reviewPod = (golden: Case, pod: JsonObject) => {
    current = golden;
    return apiFor(golden).review('/mutate/pods', pod, golden.context);
  };
  const reviewWorkload = (golden: Case, workload: JsonObject) => {
    current = golden;
    const { operation, context } = golden;
    return apiFor(golden).review('/mutate/workloads', workload, { ...context, operation });
  };

  it.each(cases.filter((golden) => isPod(golden) && answered(golden)))('$name comes out as it says', async (golden) => {
    const review = await reviewPod(golden, golden.input);
    expectPod(review, golden);
    expect(review.object).toEqual(golden.output);
    expect((await reviewPod(golden, review.object)).patch, 'the second time').toEqual([]);
  });

  it.each(cases.filter((golden) => !isPod(golden)))('$name comes out as it says', async (golden) => {
    const carried = await reviewWorkload(golden, golden.input);
    expect(carried.denial).toBeUndefined();
    expect(codes(carried)).toEqual(unique(golden.workloadWarnings));
    expectMessages(carried.warnings, golden);
    expect((await reviewWorkload(golden, carried.object)).patch, 'the second time').toEqual([]);
    if (golden.operation === 'UPDATE' || !templatePath(golden.input)) {
      expect(carried.patch).toEqual([]);
      return;
    }
    if (golden.error !== undefined) return expectError(reviewPod(golden, podOf(carried.object)), golden);

    const pod = await reviewPod(golden, podOf(carried.object));
    expectPod(pod, golden);
    if (golden.denials.length === 0) expect(pod.object).toEqual(podOf(golden.output));
    expect((await reviewPod(golden, pod.object)).patch, 'the second time').toEqual([]);
  });

  it.each(cases.filter((golden) => isPod(golden) && golden.error !== undefined))('$name is an error', (golden) =>
    expectError(reviewPod(golden, golden.input), golden),
  );
});

async function expectError(review: Promise<Answer>, { context, error }: Case): Promise<void> {
  const thrown = await review.catch((thrown: unknown) => thrown);
  expect(thrown).toBeInstanceOf(CallError);
  const { statusCode, message } = thrown as CallError;
  // The webhook does not know enough, or the object is wrong.
  expect(statusCode).toBe(context.namespaceLabels === undefined ? 500 : 400);
  expect(message).toContain(error);
}

function expectPod(review: Answer, golden: Case): void {
  const { denials, warnings } = golden;
  expect(review.denial === undefined).toBe(denials.length === 0);
  expect(codes(review)).toEqual(unique([...denials, ...warnings]));
  expect(review.warnings).toHaveLength(warnings.length);
  if (denials.length > 0) expect(review.patch).toEqual([]);
  expectMessages([review.denial ?? '', ...review.warnings], golden);
}

function expectMessages(said: readonly string[], { messages }: Case): void {
  for (const message of messages) expect(said.join('\n')).toContain(message);
}

/** Without the one that tells what was done with the object as a whole. */
const codes = ({ reasons }: Answer): string[] =>
  reasons.filter((reason) => REASONS[reason as Reason].kind !== 'outcome').sort();
const unique = (reasons: readonly string[]): string[] => [...new Set(reasons)].sort();

/** The pod that comes of a workload's template. */
function podOf(workload: JsonObject): JsonObject {
  const template = (templatePath(workload) ?? []).reduce<unknown>(
    (node, key) => (isObject(node) ? node[key] : undefined),
    workload,
  );
  return { apiVersion: 'v1', kind: 'Pod', ...(template as JsonObject) };
}
