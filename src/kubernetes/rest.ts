import { once } from 'node:events';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { text } from 'node:stream/consumers';
import type { KubeConfig } from '@kubernetes/client-node';
import { ApiError, KubernetesError } from './errors.ts';

export interface RestRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH';
  readonly query?: Readonly<Record<string, string>>;
  /** For PATCH, a JSON patch (RFC 6902). */
  readonly body?: object;
  readonly signal: AbortSignal;
}

/** Asks for JSON with the rights of a kubeconfig. @throws ApiError where it is refused, the signal's reason, Error where there is no answer */
export async function askApi<T>(config: KubeConfig, path: string, request: RestRequest): Promise<T> {
  try {
    const answer = await text(await send(config, path, request));
    // One that has been cut off may end as if it were whole.
    request.signal.throwIfAborted();
    return JSON.parse(answer) as T;
  } catch (error) {
    // Node tells that it was aborted, and not why.
    request.signal.throwIfAborted();
    throw error;
  }
}

/** What a watch tells (apimachinery pkg/watch). */
export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  /** Of an ERROR, a Status. */
  readonly object: T;
}

/**
 * Opens a watch. The events end where the API server ends it; they throw where the connection breaks, and the signal's reason.
 * @throws ApiError where it is refused
 */
export async function openWatch<T>(
  config: KubeConfig,
  path: string,
  { query, signal }: Pick<RestRequest, 'query' | 'signal'>,
): Promise<AsyncGenerator<WatchEvent<T>>> {
  return readEvents(await send(config, path, { query: { ...query, watch: 'true' }, signal }));
}

async function* readEvents<T>(response: IncomingMessage): AsyncGenerator<WatchEvent<T>> {
  let rest = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line) as WatchEvent<T>;
  }
}

async function send(config: KubeConfig, path: string, options: RestRequest): Promise<IncomingMessage> {
  const { method = 'GET', query = {}, body, signal } = options;
  const url = new URL(serverOf(config) + path);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const contentType = method === 'PATCH' ? 'application/json-patch+json' : 'application/json';
  const settings = { method, signal, headers: { accept: 'application/json', 'content-type': contentType } };
  await config.applyToHTTPSOptions(settings);
  const asked = url.protocol === 'http:' ? requestHttp(url, settings) : requestHttps(url, settings);
  // Also after the answer has begun, when nobody waits for it here any more.
  asked.on('error', () => {});
  asked.end(body && JSON.stringify(body));
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  const { statusCode = 0 } = response;
  if (statusCode >= 400) throw new ApiError(statusCode, messageOf(await text(response), statusCode));
  return response;
}

/** The API server of a kubeconfig, without a slash at the end. @throws KubernetesError where it has none */
export function serverOf(config: KubeConfig): string {
  const server = config.getCurrentCluster()?.server;
  if (server !== undefined && /^https?:\/\//.test(server)) return server.replace(/\/$/, '');
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
