import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:https';
import jsonPatch, { type Operation } from 'fast-json-patch';
import { isObject, type JsonObject } from '../../contract/json.ts';

/** What the webhook made of an object. */
export interface Answer {
  /** As it is after the patch. */
  readonly object: JsonObject;
  readonly patch: readonly Operation[];
  readonly warnings: readonly string[];
  /** Why it must not be created; undefined: it may. */
  readonly denial: string | undefined;
  /** The reason codes of the audit annotation. */
  readonly reasons: readonly string[];
}

/** The webhook answered with something other than a review: a problem, in its own words. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly statusCode: number;

  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** What is done to the object, and where. */
export interface Call {
  readonly namespace: string;
  readonly operation?: 'CREATE' | 'UPDATE';
}

export interface ApiClient {
  /** Has an object reviewed. Rejects with CallError. */
  review(path: '/mutate/pods' | '/mutate/workloads', object: JsonObject, call: Call): Promise<Answer>;
  close(): void;
}

/** Calls a webhook as an API server does: AdmissionReviews over HTTPS, on one connection, the certificate checked with `ca` (PEM). */
export function apiClient(url: string, ca: string | undefined): ApiClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...(ca !== undefined && { ca }) });
  return {
    async review(path, object, call) {
      const uid = randomUUID();
      const body = JSON.stringify(admissionReview(uid, object, call));
      return readAnswer(await post(agent, url + path, body), uid, object);
    },
    close: () => agent.destroy(),
  };
}

const API_VERSION = 'admission.k8s.io/v1';

function admissionReview(uid: string, object: JsonObject, { namespace, operation = 'CREATE' }: Call): JsonObject {
  const [version = '', group = ''] = String(object['apiVersion']).split('/').reverse();
  const kind = String(object['kind']);
  const metadata = (object['metadata'] ?? {}) as JsonObject;
  return {
    apiVersion: API_VERSION,
    kind: 'AdmissionReview',
    request: {
      uid,
      kind: { group, version, kind },
      resource: { group, version, resource: `${kind.toLowerCase()}s` },
      namespace,
      name: metadata['name'] ?? '',
      operation,
      userInfo: { username: 'demo' },
      object,
      oldObject: operation === 'UPDATE' ? object : null,
      dryRun: false,
      options: { apiVersion: 'meta.k8s.io/v1', kind: operation === 'UPDATE' ? 'UpdateOptions' : 'CreateOptions' },
    },
  };
}

function post(agent: Agent, url: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const call = request(url, { method: 'POST', agent, headers, timeout: 10_000 }, async (reply) => {
      try {
        const text = Buffer.concat(await Array.fromAsync(reply)).toString();
        if (reply.statusCode === 200) resolve(text);
        else reject(new CallError(reply.statusCode ?? 0, (JSON.parse(text) as { message: string }).message));
      } catch (error) {
        reject(error);
      }
    });
    call.on('timeout', () => call.destroy(new Error(`${url} did not answer within 10 s`)));
    call.on('error', reject);
    call.end(body);
  });
}

/** Takes the answer apart, with the checks that API servers make. */
function readAnswer(text: string, uid: string, object: JsonObject): Answer {
  const { apiVersion, kind, response } = JSON.parse(text) as {
    apiVersion: unknown;
    kind: unknown;
    response?: Response;
  };
  const isReview = apiVersion === API_VERSION && kind === 'AdmissionReview' && isObject(response);
  if (!isReview || response.uid !== uid) throw new Error(`not the answer to this review: ${text}`);
  if ((response.patch === undefined) !== (response.patchType === undefined)) {
    throw new Error(`patch and patchType go together: ${text}`);
  }
  const patch: Operation[] = JSON.parse(Buffer.from(response.patch ?? 'W10=', 'base64').toString());
  return {
    object: jsonPatch.applyPatch(structuredClone(object), patch, true).newDocument,
    patch,
    warnings: response.warnings ?? [],
    denial: response.allowed ? undefined : (response.status?.message ?? 'no reason given'),
    reasons: response.auditAnnotations?.['reasons']?.split(',') ?? [],
  };
}

interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patch?: string;
  readonly patchType?: string;
  readonly warnings?: readonly string[];
  readonly status?: { readonly message?: string };
  readonly auditAnnotations?: Readonly<Record<string, string>>;
}
