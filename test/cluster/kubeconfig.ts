import { stringify } from 'yaml';

/** The text of a kubeconfig by which the bearer of a token reaches an API server. @param caFile what to verify it with */
export function kubeconfigFor(server: string, caFile: string, token: string): string {
  const named = (key: string, value: object) => [{ name: 'test', [key]: value }];
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: named('cluster', { server, 'certificate-authority': caFile }),
    users: named('user', { token }),
    contexts: named('context', { cluster: 'test', user: 'test' }),
  });
}
