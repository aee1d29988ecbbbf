import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:https';
import jsonPatch from 'fast-json-patch';
import { isObject, type JsonObject } from '../../contract/json.ts';

/** What the webhook made of an object. */
export interface Answer {
  /** As it is after the patch. */
  readonly object: JsonObject;
  readonly warnings: readonly string[];
  /** Why it must not be created; undefined: it may. */
  readonly denial: string | undefined;
}

export interface ApiClient {
  /** Has a CREATE of an object reviewed, at `/mutate/pods` or `/mutate/workloads`. */
  review(path: string, object: JsonObject, namespace: string): Promise<Answer>;
  close(): void;
}

/** Calls a webhook as an API server does: AdmissionReviews over HTTPS, on one connection, the certificate checked with `ca` (PEM). */
export function apiClient(url: string, ca: string | undefined): ApiClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...(ca !== undefined && { ca }) });
  return {
    async review(path, object, namespace) {
      const uid = randomUUID();
      const body = JSON.stringify(admissionReview(uid, object, namespace));
      return readAnswer(await post(agent, url + path, body), uid, object);
    },
    close: () => agent.destroy(),
  };
}

function admissionReview(uid: string, object: JsonObject, namespace: string): JsonObject {
  const [version = '', group = ''] = String(object['apiVersion']).split('/').reverse();
  const kind = String(object['kind']);
  const metadata = object['metadata'] as JsonObject;
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid,
      kind: { group, version, kind },
      resource: { group, version, resource: `${kind.toLowerCase()}s` },
      namespace,
      name: metadata['name'] ?? '',
      operation: 'CREATE',
      userInfo: { username: 'demo' },
      object,
      oldObject: null,
      dryRun: false,
      options: { apiVersion: 'meta.k8s.io/v1', kind: 'CreateOptions' },
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
        else reject(new Error(`${url} answered ${reply.statusCode}: ${text}`));
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
  const response = (JSON.parse(text) as { response?: Response }).response;
  if (!isObject(response) || response.uid !== uid) throw new Error(`not the answer to this review: ${text}`);
  const patch = response.patch === undefined ? [] : JSON.parse(Buffer.from(response.patch, 'base64').toString());
  return {
    object: jsonPatch.applyPatch(structuredClone(object), patch, true).newDocument,
    warnings: response.warnings ?? [],
    denial: response.allowed ? undefined : (response.status?.message ?? 'no reason given'),
  };
}

interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patch?: string;
  readonly warnings?: readonly string[];
  readonly status?: { readonly message?: string };
}
