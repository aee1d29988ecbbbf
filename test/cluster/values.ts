import type { JsonObject } from '../../src/contract/json.ts';

/** Values that people set, one set a row. */
export const MATRIX: Readonly<Record<string, JsonObject>> = {
  defaults: {},
  'one replica': { webhook: { replicas: 1, podDisruptionBudget: false } },
  'the webhook alone': { node: { enabled: false }, lxcfs: { enabled: false } },
  'without lxcfs': { lxcfs: { enabled: false } },
  'the nodes being cleared': { cleanup: true },
  'a network policy': { networkPolicy: { enabled: true, metricsFrom: [{ podSelector: {} }] } },
  'an existing Secret': { certificates: { source: 'existingSecret', existingSecret: { name: 'tls', caBundle: '' } } },
  'an image by its digest': { image: { digest: `sha256:${'0'.repeat(64)}`, pullSecrets: [{ name: 'registry' }] } },
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
