import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { generated } from '../../charts/generate.ts';
import { lxcfsCommand } from '../../src/commands/lxcfs.ts';
import { nodeCommand } from '../../src/commands/node.ts';
import { readSettings } from '../../src/commands/webhook/settings.ts';
import type { JsonObject } from '../../src/contract/json.ts';
import { LXCFS_MODES } from '../../src/contract/lxcfs-modes.ts';
import { LOG_LEVELS } from '../../src/observability/log-levels.ts';
import { defaultPolicy, parsePolicy } from '../../src/policy/index.ts';
import { describeInCluster } from './describe-in-cluster.ts';
import { CHART } from './installation.ts';
import { namespace } from './objects.ts';
import { MATRIX, REQUIRED, WITH_OPERATORS } from './values.ts';

// biome-ignore lint/suspicious/noExplicitAny: rendered objects, of which each test looks at a few fields
type Rendered = any;

const NODE_PROGRAMS = [nodeCommand(), lxcfsCommand()];

describeInCluster('the chart', (cluster) => {
  beforeAll(() => cluster().apply(namespace('rendered', { 'pod-security.kubernetes.io/enforce': 'privileged' })));
  afterAll(() => cluster().kubectl('delete', 'namespace', 'rendered', '--wait=false'));

  const render = async (values: JsonObject, ...args: string[]): Promise<string> => {
    const command = ['template', 'hotmount', CHART, '-n', 'rendered', '-f', '-', ...args];
    const { code, stdout, stderr } = await cluster().tryHelm(command, JSON.stringify({ ...REQUIRED, ...values }));
    expect(code, stderr).toBe(0);
    return stdout;
  };
  const objects = async (values: JsonObject): Promise<Rendered[]> =>
    parseAllDocuments(await render(values)).flatMap((document) => document.toJS() ?? []);
  const find = (all: Rendered[], kind: string, name: string): Rendered => {
    const found = all.find((object) => object.kind === kind && object.metadata.name === name);
    expect(found, `${kind} ${name}`).toBeDefined();
    return found;
  };

  test('has the schema and the table that are generated', () => {
    for (const [file, text] of generated()) expect(readFileSync(file, 'utf8'), `${file}: npm run chart`).toBe(text);
  });

  test('is without findings of helm lint', async () => {
    expect(await cluster().helm('lint', '--strict', CHART)).toContain('0 chart(s) failed');
  });

  test.each(Object.entries(MATRIX))('is taken by the API server with %s', async (_, values) => {
    const manifest = await render(values);
    expect(await render(values), 'the same each time').toBe(manifest);
    const apply = ['apply', '-n', 'rendered', '--dry-run=server', '--validate=strict', '-f', '-'];
    const { code, stderr } = await cluster().tryKubectl(apply, manifest);
    expect([code, stderr]).toEqual([0, '']);
  });

  test('gives the webhook an image of its own, and the nodes theirs', async () => {
    const all = await objects(MATRIX['an image for the webhook'] ?? {});
    const imageOf = (kind: string, name: string) => find(all, kind, name).spec.template.spec.containers[0].image;
    expect(imageOf('Deployment', 'hotmount-webhook')).toBe('registry.example/hotmount-webhook:1');
    expect(imageOf('DaemonSet', 'hotmount-node')).toMatch(/^registry\.example\/hotmount:/);
  });

  test('renders what operators take', async () => {
    const all = await objects(WITH_OPERATORS);
    expect(find(all, 'Certificate', 'hotmount-webhook').spec.dnsNames).toContain('hotmount-webhook.rendered.svc');
    expect(find(all, 'MutatingWebhookConfiguration', 'hotmount').metadata.annotations).toEqual({
      'cert-manager.io/inject-ca-from': 'rendered/hotmount-webhook',
    });
    const rules = find(all, 'PrometheusRule', 'hotmount').spec.groups[0].rules;
    expect(rules[0].expr).toBe('absent(hotmount_certificate_expiry_timestamp_seconds{namespace="rendered"})');
    find(all, 'ServiceMonitor', 'hotmount-webhook');
    find(all, 'PodMonitor', 'hotmount-node');
    expect(JSON.parse(find(all, 'ConfigMap', 'hotmount-dashboard').data['hotmount.json'])).toMatchObject({
      uid: 'hotmount',
    });
  });

  test.each([
    ['a typo', { wehbook: {} }, "additional properties 'wehbook' not allowed"],
    ['a typo deep down', { webhook: { replica: 1 } }, "additional properties 'replica' not allowed"],
    [
      'a broken policy',
      { policy: { rules: [{ name: 'a', namespace: ['*'] }] } },
      "additional properties 'namespace' not allowed",
    ],
    ['an unknown class of values', { policy: { onViolation: 'explode' } }, '/policy/onViolation'],
    [
      'a time that API servers refuse',
      { webhook: { timeoutSeconds: 31 } },
      "'/webhook/timeoutSeconds': maximum: got 31, want 30",
    ],
    ['no image', { image: {} }, 'set image.repository=registry.example/hotmount'],
    [
      'a tag in the repository',
      { image: { repository: 'a.example:5000/b:1' } },
      'write it without, and set image.tag or .digest',
    ],
    ['a digest in the repository', { image: { repository: 'a/b@sha256:12' } }, 'has a tag or digest in it'],
    ['a URL of an image', { image: { repository: 'https://a/b' } }, 'without https://'],
    [
      'an image in capitals',
      { webhook: { image: { repository: 'a.example/B' } } },
      'webhook.image.repository: "a.example/B"',
    ],
    ['a tag that is none', { image: { repository: 'a/b', tag: 'v1 beta' } }, 'image.tag: "v1 beta" cannot be the tag'],
    ['a URL of a registry', { global: { imageRegistry: 'https://a.example' } }, 'such as registry.example:5000'],
    ['an unknown architecture', { image: { repository: 'a/b', architectures: ['x86_64'] } }, "'amd64', 'arm64'"],
    ['a name in capitals', { fullnameOverride: 'UPPER_case' }, 'such as "upper-case"'],
    [
      'a Secret without a name',
      { certificates: { source: 'existingSecret' } },
      'set certificates.existingSecret.name to the name of a Secret',
    ],
    [
      'an issuer without a name',
      { certificates: { source: 'certManager' } },
      'set certificates.certManager.issuerRef.name',
    ],
    [
      'a Secret that nothing uses',
      { certificates: { existingSecret: { name: 'tls' } } },
      'set certificates.source=existingSecret, or leave it out',
    ],
    ['names of clients without a CA', { webhook: { clientCa: { names: ['a'] } } }, 'needs webhook.clientCa.secret'],
    ['resources that nobody counts', { policy: { scheduleBy: 'resource' } }, 'set node.devicePlugin=true'],
    ['one port twice', { webhook: { ports: { health: 8443 } } }, 'needs a port of its own'],
    [
      'no account',
      { node: { serviceAccount: { create: false } } },
      'set node.serviceAccount.name to the ServiceAccount that you made',
    ],
  ])('is refused with %s', async (_, values, message) => {
    const { code, stderr } = await cluster().tryHelm(
      ['template', CHART, '-f', '-'],
      JSON.stringify({ ...REQUIRED, ...values }),
    );
    expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
  });

  test('is refused with one port twice, given by --set', async () => {
    const set = ['--set', 'image.repository=a/b,webhook.ports.https=8080'];
    const { stderr } = await cluster().tryHelm(['template', CHART, ...set], '');
    expect(stderr).toContain('needs a port of its own');
  });

  test('says everything that is wrong at once', async () => {
    const values = { certificates: { source: 'certManager' }, nameOverride: 'A' };
    const { stderr } = await cluster().tryHelm(['template', CHART, '-f', '-'], JSON.stringify(values));
    expect(stderr.match(/^- .*/gm)).toHaveLength(3);
  });

  test('takes images from where the values say', async () => {
    const images = async (values: JsonObject) => {
      const pods = (await objects(values)).flatMap(({ spec }) => spec?.template?.spec ?? []);
      return [...new Set(pods.flatMap(({ containers }) => containers.map(({ image }: Rendered) => image)))];
    };
    const repository = 'registry.example/hotmount';
    expect(await images({ image: { repository, tag: 5 } })).toEqual([`${repository}:5`]);
    expect(await images({ image: { repository, tag: 20261129 } })).toEqual([`${repository}:20261129`]);
    expect(await images({ image: { repository: 'a/b', tag: 'c' }, global: { imageRegistry: 'mirror/' } })).toEqual([
      'mirror/a/b:c',
    ]);
  });

  test('goes to no node that the image is not made for, whatever affinity the values have', async () => {
    const term = { matchExpressions: [{ key: 'disk', operator: 'Exists' }] };
    const affinity = {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term, term] } },
      podAntiAffinity: {},
    };
    const all = await objects({ webhook: { affinity }, node: { affinity: {} } });
    const termsOf = (kind: string, name: string) =>
      find(all, kind, name).spec.template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
        .nodeSelectorTerms;
    const ours = [
      { key: 'kubernetes.io/os', operator: 'In', values: ['linux'] },
      { key: 'kubernetes.io/arch', operator: 'In', values: ['amd64', 'arm64'] },
    ];
    const [disk] = term.matchExpressions;
    expect(termsOf('Deployment', 'hotmount-webhook')).toEqual([
      { matchExpressions: [disk, ...ours] },
      { matchExpressions: [disk, ...ours] },
    ]);
    expect(termsOf('DaemonSet', 'hotmount-node')).toEqual([{ matchExpressions: ours }]);
  });

  test('has the ports, selectors and failure policies of the values', async () => {
    const all = await objects(MATRIX['the network of the nodes'] ?? {});
    const { spec } = find(all, 'Deployment', 'hotmount-webhook').spec.template;
    expect(spec).toMatchObject({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' });
    expect(spec.containers[0].args).toEqual(expect.arrayContaining(['--port=9443', '--health-port=9081']));
    expect(spec.containers[0].ports.map(({ containerPort }: Rendered) => containerPort)).toEqual([9443, 9080, 9081]);
    const { webhooks } = find(all, 'MutatingWebhookConfiguration', 'hotmount');
    expect(webhooks[0].clientConfig.service.port).toBe(8443);

    const others = await objects(MATRIX['other failure policies and selectors'] ?? {});
    const changed = find(others, 'MutatingWebhookConfiguration', 'hotmount').webhooks;
    expect(changed.map(({ failurePolicy }: Rendered) => failurePolicy)).toEqual(['Ignore', 'Ignore', 'Fail']);
    expect(changed[1].namespaceSelector).toEqual({
      matchLabels: { 'hotmount.io/defaults': 'enabled', hotmount: 'yes' },
      matchExpressions: [
        { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-system', 'rendered'] },
        { key: 'team', operator: 'Exists' },
      ],
    });
  });

  test('holds the built-in policy by default, as the program reads it', async () => {
    const { data } = find(await objects({}), 'ConfigMap', 'hotmount-policy');
    expect(parsePolicy(data['policy.yaml'])).toEqual(defaultPolicy());
    expect(parsePolicy(JSON.stringify(parse(readFileSync(`${CHART}/values.yaml`, 'utf8')).policy))).toEqual(
      defaultPolicy(),
    );
  });

  test('gives the webhook flags that it takes', async () => {
    const { args } = find(await objects({}), 'Deployment', 'hotmount-webhook').spec.template.spec.containers[0];
    const flags = Object.fromEntries(
      args.slice(1).map((arg: string) => {
        const [name = '', value = ''] = arg.slice(2).split('=');
        return [name.replaceAll(/-(\w)/g, (_match: string, letter: string) => letter.toUpperCase()), value];
      }),
    );
    const rest = {
      volumes: 'csi' as const,
      host: '',
      port: '8443',
      metricsPort: '8080',
      caOverlapSeconds: '300',
      logLevel: 'info' as const,
      drainSeconds: '',
    };
    expect(readSettings({ ...rest, ...flags })).toMatchObject({
      policy: { from: 'config map', configMap: { namespace: 'rendered', name: 'hotmount-policy' } },
      tls: { from: 'secret', webhookConfiguration: 'hotmount' },
    });
  });

  test.each(['defaults', 'without lxcfs', 'the nodes being cleared'])(
    'gives what runs on the nodes, and its probes, flags that it takes: %s',
    async (name) => {
      const sets = (await objects(MATRIX[name] ?? {})).filter(({ kind }) => kind === 'DaemonSet');
      const containers = sets.flatMap(({ spec: { template } }) => [
        ...(template.spec.initContainers ?? []),
        ...template.spec.containers,
      ]);
      const commandLines: string[][] = containers.flatMap(({ args, livenessProbe, readinessProbe }) => [
        ...(args ? [args] : []),
        ...[livenessProbe, readinessProbe].flatMap((probe) => (probe?.exec ? [probe.exec.command.slice(1)] : [])),
      ]);
      expect(commandLines.length).toBeGreaterThan(0);
      for (const [program, ...args] of commandLines) {
        const command = NODE_PROGRAMS.find((known) => known.name() === program);
        expect(command, program).toBeDefined();
        expect(command?.parseOptions(args), args.join(' ')).toEqual({ operands: [], unknown: [] });
        const { lxcfs = 'off', logLevel } = command?.opts() ?? {};
        expect(LXCFS_MODES).toContain(lxcfs);
        expect(LOG_LEVELS).toContain(logLevel);
      }
    },
  );

  test('waits for slow nodes in all probes, and longer where they have just started', async () => {
    const seconds = async (slowness: number): Promise<number[]> =>
      (await objects({ slowness }))
        .flatMap(({ spec }) => spec?.template?.spec.containers ?? [])
        .flatMap(({ startupProbe, livenessProbe, readinessProbe }) => {
          if (livenessProbe) expect(startupProbe?.httpGet).toEqual(livenessProbe.httpGet);
          return [startupProbe, livenessProbe, readinessProbe].filter(Boolean);
        })
        .flatMap(({ periodSeconds, timeoutSeconds }) => [periodSeconds, timeoutSeconds]);
    const usual = await seconds(1);
    expect(usual.length).toBeGreaterThan(0);
    expect(await seconds(10)).toEqual(usual.map((number) => 10 * number));
    for (const name of ['hotmount-node', 'hotmount-lxcfs']) {
      const daemon = find(await objects({ slowness: 10 }), 'DaemonSet', name);
      expect(daemon.spec.template.spec.containers[0].env).toContainEqual({ name: 'HOTMOUNT_SLOWNESS', value: '10' });
    }
  });

  test('adds to the environment of the daemon, and takes nothing from it', async () => {
    const daemon = find(await objects(MATRIX['everything that is extra'] ?? {}), 'DaemonSet', 'hotmount-node');
    const { env } = daemon.spec.template.spec.containers[0];
    expect(env.map(({ name }: { name: string }) => name)).toEqual(['NODE_NAME', 'TZ']);
  });

  test('gives no token to what handles foreign disks, and no privilege to what talks to the API server', async () => {
    const all = await objects({});
    for (const name of ['hotmount-node', 'hotmount-lxcfs']) {
      const { spec } = find(all, 'DaemonSet', name).spec.template;
      expect(spec.automountServiceAccountToken).toBe(false);
      expect(spec.hostNetwork).toBeUndefined();
    }
    const { spec } = find(all, 'Deployment', 'hotmount-webhook').spec.template;
    expect(spec.securityContext.runAsNonRoot).toBe(true);
    expect(spec.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    const namespaced = all.filter(({ kind }) => kind === 'Role').flatMap(({ rules }) => rules);
    for (const rule of namespaced)
      expect(rule.resourceNames !== undefined || rule.verbs.join() === 'create').toBe(true);
  });

  test('clears the nodes in place of the daemons, with their rights', async () => {
    const daemon = find(await objects({}), 'DaemonSet', 'hotmount-node').spec.template.spec;
    // Nodes may run lxcfs alone, or may have run either by earlier values.
    const all = await objects({
      cleanup: true,
      node: { nodeSelector: { disk: 'usb' }, tolerations: [], affinity: {} },
    });
    const sets = all.filter(({ kind }) => kind === 'DaemonSet');
    expect(sets.map(({ metadata }) => metadata.name)).toEqual(['hotmount-cleanup']);
    const { initContainers, ...spec } = sets[0].spec.template.spec;
    expect(initContainers[0].args).toEqual([
      'node',
      '--cleanup',
      '--run-dir=/run/hotmount',
      '--kubelet-dir=/var/lib/kubelet',
    ]);
    expect(initContainers[0].securityContext).toEqual(daemon.containers[0].securityContext);
    for (const key of ['hostPID', 'nodeSelector', 'tolerations', 'serviceAccountName']) {
      expect(spec[key], key).toEqual(daemon[key]);
    }
    for (const volume of spec.volumes) expect(daemon.volumes).toContainEqual(volume);
    for (const mount of initContainers[0].volumeMounts) {
      expect(daemon.containers[0].volumeMounts).toContainEqual(mount);
    }
  });

  test('never lets a webhook see a subresource, the control plane, or its own namespace', async () => {
    const { webhooks } = find(await objects({}), 'MutatingWebhookConfiguration', 'hotmount');
    expect(webhooks.map(({ name, failurePolicy }: Rendered) => [name, failurePolicy])).toEqual([
      ['pods.hotmount.io', 'Fail'],
      ['defaults.hotmount.io', 'Ignore'],
      ['workloads.hotmount.io', 'Ignore'],
    ]);
    expect(webhooks[1].namespaceSelector.matchLabels).toEqual({ 'hotmount.io/defaults': 'enabled' });
    for (const webhook of webhooks) {
      expect(webhook.clientConfig.caBundle).toBeUndefined();
      expect(webhook.rules.flatMap(({ resources }: Rendered) => resources).join()).not.toMatch(/[/*]/);
      expect(webhook.namespaceSelector.matchExpressions[0]).toEqual({
        key: 'kubernetes.io/metadata.name',
        operator: 'NotIn',
        values: ['kube-system', 'rendered'],
      });
    }
  });
});
