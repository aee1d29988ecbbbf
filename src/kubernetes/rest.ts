import { once } from 'node:events';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import type { KubeConfig } from '@kubernetes/client-node';
import { KubernetesError } from './client.ts';

export interface RestRequest {
  readonly method?: 'GET' | 'POST';
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  readonly signal: AbortSignal;
}

/** The API server has refused a request: its own words, and the HTTP status. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Asks for JSON with the rights of a kubeconfig. @throws ApiError where it is refused, Error where there is no answer */
export async function askApi<T>(config: KubeConfig, path: string, options: RestRequest): Promise<T> {
  const { method = 'GET', query = {}, body, signal } = options;
  const url = new URL(serverOf(config) + path);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const settings = { method, signal, headers: { accept: 'application/json', 'content-type': 'application/json' } };
  await config.applyToHTTPSOptions(settings);
  const asked = request(url, settings);
  asked.end(body && JSON.stringify(body));
  const [response] = await once(asked, 'response', { signal });
  const answer = await text(response);
  if (response.statusCode >= 400) throw new ApiError(response.statusCode, messageOf(answer, response.statusCode));
  return JSON.parse(answer) as T;
}

/** The API server of a kubeconfig, without a slash at the end. @throws KubernetesError where it has none that speaks HTTPS */
export function serverOf(config: KubeConfig): string {
  const server = config.getCurrentCluster()?.server;
  if (server?.startsWith('https://')) return server.replace(/\/$/, '');
  throw new KubernetesError(`the API server ${server ?? ''} of the kubeconfig cannot be used: expected https://…`);
}

/** What a `Status` says, or the beginning of what something else on the way has answered. */
export function messageOf(body: string, code: number): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // Not from an API server.
  }
  return body.trim().slice(0, 200) || `HTTP ${code}`;
}
