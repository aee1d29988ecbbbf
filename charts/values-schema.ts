import { z } from 'zod';
import { LOG_LEVELS } from '../src/observability/log-levels.ts';
import { policySchema } from '../src/policy/index.ts';

/**
 * The chart's values, key by key: values.schema.json, by which helm refuses typos and broken policies, and the table in the chart's
 * README are generated from here (generate.ts). The policy's part is the program's own schema.
 */

/** Objects that are Kubernetes' own: the API server judges them. */
const labels = z.record(z.string(), z.string());
const objects = z.array(z.record(z.string(), z.unknown()));
const object = z.record(z.string(), z.unknown());
const quantity = z.union([z.string(), z.number()]);
const resources = z
  .strictObject({
    requests: z.record(z.string(), quantity).optional(),
    limits: z.record(z.string(), quantity).optional(),
  })
  .describe('CPU and memory of each pod');

const pods = {
  resources,
  priorityClassName: z.string().describe('empty: none'),
  nodeSelector: labels.describe('which nodes'),
  tolerations: objects.describe('of taints'),
  affinity: object.describe('of the pods'),
  podAnnotations: labels.describe('of the pods'),
  podLabels: labels.describe('of the pods'),
};

const logLevel = z.enum(LOG_LEVELS).describe('how much to log');

export const valuesSchema = z.strictObject({
  image: z.strictObject({
    repository: z.string().min(1).describe('the image, without its tag'),
    tag: z.string().describe("empty: the chart's appVersion"),
    digest: z.string().meta({ pattern: '^(sha256:[0-9a-f]{64})?$' }).describe('instead of the tag, such as sha256:…'),
    pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).describe('when to pull it'),
    pullSecrets: z.array(z.strictObject({ name: z.string() })).describe('Secrets of the registry'),
  }),
  nameOverride: z.string().describe("instead of the chart's name, in names and labels"),
  fullnameOverride: z.string().describe('instead of the release and chart names, in names'),
  policy: policySchema.describe('who may ask for what: docs/policy.md'),
  editedPolicy: z
    .enum(['auto', 'keep', 'overwrite'])
    .describe(
      'what upgrades do with a policy that was edited in the cluster; auto: keep it while `policy` here is unchanged',
    ),
  certificates: z.strictObject({
    source: z
      .enum(['self', 'certManager', 'existingSecret'])
      .describe('who makes them: the webhook, cert-manager, or somebody else, in a Secret'),
    existingSecret: z
      .strictObject({
        name: z.string().describe('of a Secret of type kubernetes.io/tls'),
        caBundle: z.string().describe('base64 of the PEM by which API servers verify it'),
      })
      .describe('for source: existingSecret'),
    certManager: z
      .strictObject({ issuerRef: object.describe('the Issuer or ClusterIssuer') })
      .describe('for source: certManager'),
  }),
  webhook: z.strictObject({
    replicas: z.int().min(0).describe('with one, annotated pods wait while its node is drained'),
    logLevel,
    drainSeconds: z
      .int()
      .min(0)
      .max(3600)
      .describe('how long new connections are taken after it was told to stop; idle ones are waited for'),
    excludedNamespaces: z.array(z.string()).describe("besides the release's own: their pods never meet the webhook"),
    clientCa: z.strictObject({
      secret: z
        .string()
        .describe("of the release's namespace; its key `ca.crt` has the CA; empty: whoever reaches the port may ask"),
      names: z.array(z.string()).describe('of which their certificates must have one; empty: any'),
    }),
    podDisruptionBudget: z.boolean().describe('one replica at a time'),
    ...pods,
  }),
  node: z.strictObject({ enabled: z.boolean().describe('media and devices'), logLevel, ...pods }),
  lxcfs: z.strictObject({ enabled: z.boolean().describe('a truthful /proc'), ...pods }),
  networkPolicy: z.strictObject({
    enabled: z.boolean().describe('limit who reaches the pods, and whom they reach'),
    metricsFrom: objects.describe('peers that may read the metrics; empty: everybody'),
  }),
  monitoring: z.strictObject({
    serviceMonitor: z.boolean().describe("a ServiceMonitor and a PodMonitor, for Prometheus' operator"),
    prometheusRule: z.boolean().describe('alerts'),
    dashboard: z.boolean().describe("a ConfigMap that Grafana's sidecar finds"),
    interval: z.string().describe('between scrapes'),
    labels: labels.describe('by which Prometheus selects monitors and rules'),
  }),
  cleanup: z.boolean().describe('before uninstalling: pods that take everything off the nodes, instead of the daemons'),
  global: object.optional().describe('helm gives it to every chart; unused'),
});
