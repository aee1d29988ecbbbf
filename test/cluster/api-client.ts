import { readFile } from 'node:fs/promises';
import { Agent, request } from 'undici';
import type { JsonObject } from '../../src/contract/json.ts';

/** What the API server answered. */
export interface ApiAnswer {
  /** HTTP status; 0 where there was no answer. */
  readonly code: number;
  // biome-ignore lint/suspicious/noExplicitAny: foreign JSON, of which each test looks at a few fields
  readonly body: any;
  /** As in the Warning headers, unquoted. */
  readonly warnings: readonly string[];
}

/** Requests to an API server without a process for each, where kubectl would be too slow. */
export class ApiClient {
  readonly #url: string;
  readonly #token: string;
  readonly #agent: Agent;

  private constructor(url: string, token: string, ca: string) {
    this.#url = url;
    this.#token = token;
    this.#agent = new Agent({ connect: { ca } });
  }

  static async open(url: string, token: string, caFile: string): Promise<ApiClient> {
    return new ApiClient(url, token, await readFile(caFile, 'utf8'));
  }

  /** Never rejects: no answer is code 0. */
  async send(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: object,
    contentType = 'application/json',
  ): Promise<ApiAnswer> {
    try {
      const answer = await request(this.#url + path, {
        method,
        dispatcher: this.#agent,
        headers: { authorization: `Bearer ${this.#token}`, 'content-type': contentType },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const text = await answer.body.text();
      return { code: answer.statusCode, body: parse(text), warnings: readWarnings(answer.headers['warning']) };
    } catch (error) {
      return { code: 0, body: { message: (error as Error).message }, warnings: [] };
    }
  }

  /** Creates an object of one of the built-in kinds in a namespace. `query` is such as `dryRun=All`. */
  create(namespace: string, object: JsonObject, query = ''): Promise<ApiAnswer> {
    const [version, group] = String(object['apiVersion']).split('/').reverse();
    const base = group === undefined ? `/api/${version}` : `/apis/${group}/${version}`;
    const resource = `${String(object['kind']).toLowerCase()}s`;
    return this.send('POST', `${base}/namespaces/${namespace}/${resource}?${query}`, object);
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { message: text };
  }
}

/** `299 - "text"`, quoted as in HTTP. */
const readWarnings = (header: string | readonly string[] | undefined): string[] =>
  [header ?? []]
    .flat()
    .flatMap((line) => [...line.matchAll(/299 \S+ ("(?:[^"\\]|\\.)*")/g)])
    .map(([, quoted = '""']) => quoted.slice(1, -1).replaceAll(/\\(.)/g, '$1'));
