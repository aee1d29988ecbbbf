import type { JsonObject } from '../../src/contract/json.ts';

/** What every installation has to set. */
export const REQUIRED: JsonObject = { image: { repository: 'registry.example/hotmount' } };

/** Values that people set besides those, one set a row. */
export const MATRIX: Readonly<Record<string, JsonObject>> = {
  defaults: {},
  'one replica': { webhook: { replicas: 1, podDisruptionBudget: false } },
  'the webhook alone': { node: { enabled: false }, lxcfs: { enabled: false } },
  'without lxcfs': { lxcfs: { enabled: false } },
  'the nodes being cleared': { cleanup: true },
  'a network policy': { networkPolicy: { enabled: true, metricsFrom: [{ podSelector: {} }] } },
  'an existing Secret': { certificates: { source: 'existingSecret', existingSecret: { name: 'tls', caBundle: '' } } },
  'an image by its digest': {
    image: {
      repository: 'registry.example/hotmount',
      digest: `sha256:${'0'.repeat(64)}`,
      pullSecrets: [{ name: 'registry' }],
    },
  },
  'an image for the webhook': { webhook: { image: { repository: 'registry.example/hotmount-webhook', tag: 1 } } },
  'a tag that is a number': { image: { repository: 'registry.example/hotmount', tag: 20261129 } },
  'a registry of the parent chart': {
    global: { imageRegistry: 'mirror.example', imagePullSecrets: ['a', { name: 'b' }] },
  },
  'the network of the nodes': {
    webhook: { hostNetwork: true, ports: { https: 9443, metrics: 9080, health: 9081 }, service: { port: 8443 } },
  },
  'other failure policies and selectors': {
    webhook: {
      failurePolicy: { pods: 'Ignore', workloads: 'Fail' },
      timeoutSeconds: 10,
      namespaceSelector: { matchLabels: { hotmount: 'yes' }, matchExpressions: [{ key: 'team', operator: 'Exists' }] },
      objectSelector: { matchLabels: { app: 'web' } },
    },
  },
  'everything that is extra': Object.fromEntries(
    ['webhook', 'node', 'lxcfs'].map((component) => [
      component,
      {
        resources: null,
        updateStrategy: { type: component === 'webhook' ? 'Recreate' : 'OnDelete' },
        serviceAccount: { annotations: { note: component } },
        extraArgs: ['--log-level=debug'],
        extraEnv: [{ name: 'TZ', value: 'UTC' }],
        extraVolumes: [{ name: 'extra', emptyDir: {} }],
        extraVolumeMounts: [{ name: 'extra', mountPath: '/extra' }],
      },
    ]),
  ),
  'accounts of the admin': Object.fromEntries(
    ['webhook', 'node', 'lxcfs'].map((component) => [component, { serviceAccount: { create: false, name: 'mine' } }]),
  ),
  openshift: { openshift: { enabled: true } },
  'the scheduler being told': { node: { nodeFeatureDiscovery: true, devicePlugin: true } },
  'a CA of clients': { webhook: { clientCa: { secret: 'clients', names: ['kube-apiserver'] } } },
  'an API server on another port': {
    networkPolicy: { enabled: true, apiServerPorts: [16443], apiServer: [{ ipBlock: { cidr: '10.0.0.1/32' } }] },
  },
  'another name': { fullnameOverride: 'disks' },
  'a dashboard': { monitoring: { dashboard: true } },
  'labels and affinity': {
    webhook: {
      podLabels: { team: 'a' },
      podAnnotations: { note: 'b' },
      affinity: { nodeAffinity: {} },
      tolerations: [],
    },
    node: { nodeSelector: { disk: 'usb' }, tolerations: [{ key: 'edge', operator: 'Exists' }] },
  },
};

/** Kinds that the API server knows only with somebody's operator. */
export const WITH_OPERATORS: JsonObject = {
  certificates: { source: 'certManager', certManager: { issuerRef: { name: 'issuer', kind: 'ClusterIssuer' } } },
  monitoring: { serviceMonitor: true, prometheusRule: true, dashboard: true },
};
