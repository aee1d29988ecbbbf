import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

const NAMESPACES = 100;
const POLICY = readFileSync(join(import.meta.dirname, '../webhook/policy.yaml'), 'utf8');

/** Stands in for an API server: lists the policy and a hundred namespaces, and has watches of them in which nothing happens. */
export async function fakeApiServer(kubeconfig: string): Promise<{ close(): void }> {
  const policy = {
    metadata: { name: 'policy', namespace: 'hotmount', resourceVersion: '1' },
    data: { 'policy.yaml': POLICY },
  };
  const namespaces = Array.from({ length: NAMESPACES }, (_, i) => ({
    metadata: {
      name: `edge-${i}`,
      resourceVersion: '1',
      labels: { 'kubernetes.io/metadata.name': `edge-${i}`, team: `team-${i}` },
    },
  }));
  const server = createServer((request, response) => {
    request.resume();
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    if (searchParams.has('watch')) return;
    const items = pathname.endsWith('/configmaps') ? [policy] : namespaces;
    response.end(JSON.stringify({ kind: 'List', apiVersion: 'v1', metadata: { resourceVersion: '1' }, items }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const named = (key: string, value: object) => [{ name: 'fake', [key]: value }];
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'fake',
      clusters: named('cluster', { server: url, 'insecure-skip-tls-verify': true }),
      users: named('user', {}),
      contexts: named('context', { cluster: 'fake', user: 'fake' }),
    }),
  );
  return {
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
