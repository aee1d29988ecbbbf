import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import type { JsonObject } from '../../src/contract/json.ts';
import { KUBERNETES_VERSION } from './binaries.ts';
import { describeInCluster } from './describe-in-cluster.ts';
import { goModules } from './go-modules.ts';
import { CHART } from './installation.ts';
import { MinorSchema } from './minor-schema.ts';
import { namespace } from './objects.ts';
import { MATRIX, REQUIRED, WITH_OPERATORS } from './values.ts';

/** From the oldest that the chart claims to the one that the tests run. */
const MINORS = (() => {
  const { kubeVersion } = parse(readFileSync(`${CHART}/Chart.yaml`, 'utf8')) as { kubeVersion: string };
  const [oldest = 0, newest = 0] = [kubeVersion, KUBERNETES_VERSION].map((text) => Number(/1\.(\d+)/.exec(text)?.[1]));
  return Array.from({ length: newest - oldest + 1 }, (_, i) => oldest + i);
})();

const CERT_MANAGER = 'github.com/cert-manager/cert-manager@v1.20.0';
const PROMETHEUS = 'github.com/prometheus-operator/prometheus-operator@v0.89.0';
/** Where the two publish their kinds. */
const CRDS: ReadonlyArray<readonly [module: string, file: string]> = [
  [CERT_MANAGER, 'deploy/crds/cert-manager.io_certificates.yaml'],
  [PROMETHEUS, 'example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml'],
  [PROMETHEUS, 'example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml'],
  [PROMETHEUS, 'example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml'],
];

describeInCluster('what the chart renders', (cluster) => {
  const render = async (values: JsonObject): Promise<string> => {
    const command = ['template', 'hotmount', CHART, '-n', 'compatible', '-f', '-'];
    const { code, stdout, stderr } = await cluster().tryHelm(command, JSON.stringify({ ...REQUIRED, ...values }));
    expect(code, stderr).toBe(0);
    return stdout;
  };
  const rendered: JsonObject[] = [];
  beforeAll(async () => {
    await cluster().apply(namespace('compatible'));
    for (const values of Object.values(MATRIX)) {
      rendered.push(...parseAllDocuments(await render(values)).flatMap((document) => document.toJS() ?? []));
    }
  });
  afterAll(() => cluster().kubectl('delete', 'namespace', 'compatible', '--wait=false'));

  test.each(MINORS)('has the fields of Kubernetes 1.%i, and no others', async (minor) => {
    const [clientGo = ''] = await goModules([`k8s.io/client-go@v0.${minor}.0`]);
    const schema = new MinorSchema(clientGo);
    expect(rendered.length).toBeGreaterThan(100);
    expect([...new Set(rendered.flatMap((object) => schema.problems(object)))]).toEqual([]);
    // It would be noticed.
    const typo = { apiVersion: 'v1', kind: 'Pod', spec: { containers: [{ name: 1, imge: 'x' }] } };
    expect(schema.problems(typo)).toEqual([
      'Pod.spec.containers[0].name: not a string',
      'Pod.spec.containers[0].imge: no such field',
    ]);
    const newer = { apiVersion: 'v1', kind: 'Pod', spec: { hostnameOverride: 'x' } };
    expect(schema.problems(newer).length).toBe(minor < 34 ? 1 : 0);
  });

  test('is what the kinds of cert-manager and of Prometheus’ operator take', async () => {
    const directories = new Map<string, string>();
    const modules = [CERT_MANAGER, PROMETHEUS];
    for (const [i, directory] of (await goModules(modules)).entries()) directories.set(modules[i] ?? '', directory);
    const files = CRDS.flatMap(([module, file]) => ['-f', `${directories.get(module)}/${file}`]);
    await cluster().kubectl('create', ...files);
    try {
      await cluster().kubectl('wait', '--for=condition=Established', '--timeout=60s', ...files);
      const apply = ['apply', '-n', 'compatible', '--dry-run=server', '--validate=strict', '-f', '-'];
      const tried = await cluster().eventually(async () => {
        const result = await cluster().tryKubectl(apply, await render(WITH_OPERATORS));
        // The API server publishes new kinds a moment later.
        expect(result.stderr).not.toMatch(/no matches for kind/);
        return result;
      });
      expect([tried.code, tried.stderr]).toEqual([0, '']);
      for (const kind of ['certificate', 'servicemonitor', 'podmonitor', 'prometheusrule']) {
        expect(tried.stdout).toMatch(new RegExp(`^${kind}\\S+ created \\(server dry run\\)$`, 'm'));
      }
    } finally {
      await cluster().kubectl('delete', '--wait=false', ...files);
    }
  });
});
