import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { connectKubernetes, type Kubernetes } from '../../src/kubernetes/index.ts';
import { onCleanup } from './support.ts';

/** What is asked of it. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly isWatch: boolean;
  /** That it watches from. */
  readonly version: string | null;
  /** Answers with JSON. */
  reply(code: number, body: object): void;
  /** Begins an answer that stays open, and returns what sends an event in it. */
  watch(): (type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR', object: object) => void;
}

/** Stands in for an API server that misbehaves as a test needs it, over plain HTTP on loopback. What `answer` leaves alone gets no answer. */
export async function fakeApiServer(answer: (asked: Asked) => void): Promise<Kubernetes> {
  const server = createServer((request, response) => {
    const { pathname: path, searchParams } = new URL(request.url ?? '', 'http://localhost');
    request.resume();
    answer({
      method: request.method ?? '',
      path,
      isWatch: searchParams.has('watch'),
      version: searchParams.get('resourceVersion'),
      reply: (code, body) => send(response.writeHead(code, { 'content-type': 'application/json' }), body).end(),
      watch() {
        response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
        return (type, object) => void send(response, { type, object });
      },
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onCleanup(() => {
    server.closeAllConnections();
    server.close();
  });
  await stubKubeconfig(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return connectKubernetes();
}

/** Has this process, and those that it starts, take that for the API server, until the test ends. */
export async function stubKubeconfig(server: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'hotmount-kubeconfig-'));
  onCleanup(() => rm(directory, { recursive: true }));
  const named = (key: string, value: object) => [{ name: 'fake', [key]: value }];
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'fake',
    // Without it, the library takes no plain HTTP.
    clusters: named('cluster', { server, 'insecure-skip-tls-verify': true }),
    users: named('user', {}),
    contexts: named('context', { cluster: 'fake', user: 'fake' }),
  };
  const file = join(directory, 'kubeconfig');
  await writeFile(file, JSON.stringify(kubeconfig));
  vi.stubEnv('KUBECONFIG', file);
  onCleanup(() => vi.unstubAllEnvs());
}

function send(response: ServerResponse, body: object): ServerResponse {
  response.write(`${JSON.stringify(body)}\n`);
  return response;
}
