import { text } from 'node:stream/consumers';
import type { KubeConfig, V1Status } from '@kubernetes/client-node';
import WebSocket from 'ws';
import { ApiError } from './errors.ts';
import { messageOf, serverOf } from './rest.ts';

export interface ExecRequest {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly command: readonly string[];
  readonly signal: AbortSignal;
}

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Each message begins with the number of its channel (apimachinery pkg/util/remotecommand). */
const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
const [STDOUT, STDERR, STATUS] = [1, 2, 3];

/**
 * Runs a command in a container of a pod, as `kubectl exec` does, with the rights of a kubeconfig.
 * @throws ApiError where it is refused, Error where it cannot be run, the signal's reason where that ends it
 */
export async function execInPod(config: KubeConfig, wanted: ExecRequest): Promise<ExecResult> {
  const { signal } = wanted;
  const options: WebSocket.ClientOptions = {};
  await config.applyToHTTPSOptions(options);
  signal.throwIfAborted();
  const socket = new WebSocket(urlOf(serverOf(config), wanted), PROTOCOLS, options);
  const received: Record<number, Buffer[]> = { [STDOUT]: [], [STDERR]: [], [STATUS]: [] };
  const ended = Promise.withResolvers<void>();
  socket.on('message', (data: Buffer) => received[data[0] ?? 0]?.push(data.subarray(1)));
  // By itself, the library tells the HTTP status alone.
  socket.on('unexpected-response', async (_request, response) => {
    const code = response.statusCode ?? 0;
    // It may break off, and does where the signal ends it: the HTTP status is known all the same.
    const body = await text(response).catch(() => '');
    ended.reject(new ApiError(code, messageOf(body, code)));
    socket.terminate();
  });
  socket.on('error', ended.reject);
  socket.on('close', () => ended.resolve());
  const abort = (): void => {
    ended.reject(signal.reason);
    socket.terminate();
  };
  signal.addEventListener('abort', abort);
  try {
    await ended.promise;
  } finally {
    signal.removeEventListener('abort', abort);
  }
  const read = (channel: number) => Buffer.concat(received[channel] ?? []).toString('utf8');
  const status = read(STATUS);
  if (status === '') throw new Error('the connection to the container was lost');
  return { code: exitCodeOf(JSON.parse(status)), stdout: read(STDOUT), stderr: read(STDERR) };
}

function urlOf(server: string, { namespace, pod, container, command }: ExecRequest): URL {
  const url = new URL(`${server.replace('https:', 'wss:')}/api/v1/namespaces/${namespace}/pods/${pod}/exec`);
  for (const word of command) url.searchParams.append('command', word);
  for (const [key, value] of Object.entries({ container, stdout: 'true', stderr: 'true' }))
    url.searchParams.set(key, value);
  return url;
}

/** It is among the causes (kubelet pkg/kubelet/server/remotecommand). @throws Error where nothing has been run */
function exitCodeOf({ status, reason, details, message }: V1Status): number {
  if (status === 'Success') return 0;
  if (reason !== 'NonZeroExitCode') throw new Error(message ?? 'the command could not be run');
  return Number(details?.causes?.find((cause) => cause.reason === 'ExitCode')?.message ?? 1);
}
