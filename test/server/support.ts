import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pino } from 'pino';
import { Agent, request } from 'undici';
import { afterEach } from 'vitest';
import { selfSigned, startWebhook, type Webhook, type WebhookOptions } from '../../src/admission/index.ts';
import type { JsonObject } from '../../src/contract/json.ts';
import type { Logger } from '../../src/observability/logger.ts';
import { defaultPolicy, type Policy } from '../../src/policy/index.ts';

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string; readonly level: number };

export interface Answer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The text as JSON; a test that reads a field that is not there fails. */
  // biome-ignore lint/suspicious/noExplicitAny: foreign JSON, of which each test looks at a few fields
  readonly json: any;
}

/** A webhook in this process, on loopback, with a client that verifies its certificate. */
export interface Rig {
  readonly webhook: Webhook;
  readonly agent: Agent;
  readonly lines: LogLine[];
  post(path: string, body: string | Buffer | Readable, headers?: Record<string, string>): Promise<Answer>;
  get(url: string): Promise<Answer>;
  metrics(): Promise<string>;
}

const cleanups: Array<() => unknown> = [];
export const onCleanup = (cleanup: () => unknown): void => void cleanups.push(cleanup);
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A directory for one test. */
export async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hotmount-server-'));
  onCleanup(() => rm(directory, { recursive: true }));
  return directory;
}

/** A logger that collects, at all levels. */
export function collectingLogger(lines: LogLine[]): Logger {
  return pino({ level: 'debug', base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) });
}

export async function startRig(options: Partial<WebhookOptions> & { agent?: Agent.Options } = {}): Promise<Rig> {
  const lines: LogLine[] = [];
  const webhook = await startWebhook({
    policy: fixed(defaultPolicy()),
    certificates: selfSigned(),
    log: collectingLogger(lines),
    host: '127.0.0.1',
    ...options,
  });
  const agent = new Agent({ connect: { ca: webhook.ca ?? '' }, ...options.agent });
  onCleanup(() => webhook.close());
  onCleanup(() => agent.destroy());
  return {
    webhook,
    agent,
    lines,
    post: (path, body, headers = { 'content-type': 'application/json' }) =>
      send(webhook.url + path, { method: 'POST', body, headers, dispatcher: agent }),
    get: (url) => send(url, { method: 'GET', dispatcher: agent }),
    metrics: async () => (await send(`${webhook.metricsUrl}/metrics`, { method: 'GET' })).text,
  };
}

export async function send(url: string, options: Parameters<typeof request>[1]): Promise<Answer> {
  const { statusCode, headers, body } = await request(url, options);
  const text = await body.text();
  return {
    statusCode,
    headers,
    text,
    get json() {
      return JSON.parse(text);
    },
  };
}

export const fixed = (policy: Policy) => ({ current: () => policy, close() {} });

export function podWith(annotations: Record<string, string>, more: JsonObject = {}): JsonObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'web-', annotations, ...more },
    spec: {
      containers: [{ name: 'app', image: 'registry.example/app', env: [{ name: 'PASSWORD', value: 'hunter2' }] }],
    },
  };
}

/** The body of a call, as API servers write it; `request` replaces parts of the request. */
export function reviewOf(object: JsonObject, request: JsonObject = {}): string {
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: randomUUID(),
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      operation: 'CREATE',
      namespace: 'default',
      userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      object,
      oldObject: null,
      dryRun: false,
      options: { apiVersion: 'meta.k8s.io/v1', kind: 'CreateOptions' },
      ...request,
    },
  });
}

export const LXCFS = { 'hotmount.io/lxcfs': 'true' };

/** Resolves when `condition` holds; the test's own time limit is what ends a wait in vain. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}
