import { randomUUID } from 'node:crypto';
import jsonPatch, { type Operation } from 'fast-json-patch';
import { Agent, request } from 'undici';
import type { JsonObject } from '../../src/contract/json.ts';

/** What an API server makes of the webhook's answer. */
export interface Review {
  /** After the patch. */
  readonly object: JsonObject;
  readonly patch: readonly Operation[];
  readonly allowed: boolean;
  readonly message: string;
  readonly warnings: readonly string[];
  /** The reason codes of the audit annotation. */
  readonly reasons: readonly string[];
}

/** The webhook answered with something other than a review. */
export class CallError extends Error {
  readonly statusCode: number;
  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** Calls the webhook as an API server does, over TLS that it verifies with `ca`, on one connection kept alive. */
export class FakeApiServer {
  readonly #url: string;
  readonly #agent: Agent;

  constructor(url: string, ca: string) {
    this.#url = url;
    this.#agent = new Agent({ connect: { ca }, connections: 1 });
  }

  /** Rejects with CallError. */
  async review(
    path: '/mutate/pods' | '/mutate/workloads',
    object: JsonObject,
    { namespace, operation = 'CREATE' }: { namespace: string; operation?: 'CREATE' | 'UPDATE' },
  ): Promise<Review> {
    const uid = randomUUID();
    const { statusCode, body } = await request(this.#url + path, {
      dispatcher: this.#agent,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(review(uid, object, namespace, operation)),
    });
    const text = await body.text();
    if (statusCode !== 200) throw new CallError(statusCode, (JSON.parse(text) as { message: string }).message);

    const answer = JSON.parse(text) as { apiVersion: string; kind: string; response: Response };
    const { response } = answer;
    if (answer.apiVersion !== 'admission.k8s.io/v1' || answer.kind !== 'AdmissionReview' || response.uid !== uid) {
      throw new Error(`not the answer to this review: ${text}`);
    }
    if ((response.patch === undefined) !== (response.patchType === undefined)) {
      throw new Error(`patch and patchType go together: ${text}`);
    }
    const patch = JSON.parse(Buffer.from(response.patch ?? 'W10=', 'base64').toString()) as Operation[];
    return {
      object: jsonPatch.applyPatch(structuredClone(object), patch, true).newDocument,
      patch,
      allowed: response.allowed,
      message: response.status?.message ?? '',
      warnings: response.warnings ?? [],
      reasons: response.auditAnnotations['reasons']?.split(',') ?? [],
    };
  }

  close(): Promise<void> {
    return this.#agent.close();
  }
}

interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patch?: string;
  readonly patchType?: string;
  readonly warnings?: readonly string[];
  readonly status?: { readonly message?: string };
  readonly auditAnnotations: Readonly<Record<string, string>>;
}

function review(uid: string, object: JsonObject, namespace: string, operation: string): JsonObject {
  const [version = '', group = ''] = String(object['apiVersion']).split('/').reverse();
  const kind = String(object['kind']);
  const metadata = (object['metadata'] ?? {}) as JsonObject;
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid,
      kind: { group, version, kind },
      resource: { group, version, resource: `${kind.toLowerCase()}s` },
      namespace,
      name: metadata['name'] ?? '',
      operation,
      userInfo: { username: 'admin' },
      object,
      oldObject: operation === 'UPDATE' ? object : null,
      dryRun: false,
    },
  };
}
