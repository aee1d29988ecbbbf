import { z } from 'zod';
import { VOLUME_KINDS } from '../src/contract/volumes.ts';
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
  .describe('CPU and memory of each pod; null: none, for a vertical autoscaler to set');

/** What is optional here can be taken away with null, for which helm leaves the key out. */
const pods = {
  resources: resources.optional(),
  priorityClassName: z.string().describe('empty: none').optional(),
  nodeSelector: labels.describe('which nodes').optional(),
  tolerations: objects.describe('of taints').optional(),
  affinity: object.describe('of the pods').optional(),
  podAnnotations: labels.describe('of the pods').optional(),
  podLabels: labels.describe('of the pods').optional(),
  serviceAccount: z
    .strictObject({
      create: z.boolean(),
      name: z.string(),
      annotations: labels.optional(),
    })
    .describe('whether the chart makes one, its name (empty: the chart chooses), and annotations'),
  updateStrategy: object.describe('empty: the new pod serves before the old one goes').optional(),
  extraArgs: z.array(z.string()).describe('flags of the program').optional(),
  extraEnv: objects.describe('environment variables').optional(),
  extraVolumes: objects.describe('volumes of the pods').optional(),
  extraVolumeMounts: objects.describe('of the container').optional(),
};

const port = z.int().min(1).max(65535);
const failurePolicy = z.enum(['Fail', 'Ignore']);

const logLevel = z.enum(LOG_LEVELS).describe('how much to log');

const tag = z.union([z.string(), z.int()]).describe("empty: the chart's appVersion");
const digest = z
  .string()
  .meta({ pattern: '^(sha256:[0-9a-f]{64})?$' })
  .describe('instead of the tag, such as sha256:…');

export const valuesSchema = z.strictObject({
  image: z.strictObject({
    repository: z.string().describe('required: the image, without its tag'),
    tag,
    digest,
    pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).describe('when to pull it'),
    pullSecrets: z.array(z.strictObject({ name: z.string() })).describe('Secrets of the registry'),
    architectures: z
      .array(z.enum(['amd64', 'arm64']))
      .min(1)
      .describe('that the image is made for: pods go to no other nodes'),
  }),
  nameOverride: z.string().describe("instead of the chart's name, in names and labels"),
  fullnameOverride: z.string().describe('instead of the release and chart names, in names'),
  policy: policySchema.describe('who may ask for what: docs/policy.md'),
  volumes: z.enum(VOLUME_KINDS).describe('what is injected: `csi`, or `hostPath` for namespaces that allow it'),
  kubeletDir: z
    .string()
    .meta({ pattern: '^(/[^/:]+)+$' })
    .describe("the kubelet's --root-dir, where it finds the CSI driver: other on k0s, microk8s and the like"),
  slowness: z
    .int()
    .min(1)
    .max(60)
    .describe(
      "how many times longer the probes of all pods wait, and the node's programs for what may hang, where nodes are slow",
    )
    .optional(),
  selinuxContext: z
    .string()
    .min(1)
    .describe(
      'the label of what containers open on nodes with SELinux; `auto`: that of container-selinux, `off`: none',
    ),
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
    image: z
      .strictObject({
        repository: z.string().describe('of an image of its own (`docker build --target webhook`); empty: `image`'),
        tag,
        digest,
      })
      .optional(),
    logLevel,
    drainSeconds: z
      .int()
      .min(0)
      .max(3600)
      .describe('how long new connections are taken after it was told to stop; idle ones are waited for'),
    excludedNamespaces: z.array(z.string()).describe("besides the release's own: their pods never meet the webhook"),
    failurePolicy: z
      .strictObject({
        pods: failurePolicy,
        defaults: failurePolicy,
        workloads: failurePolicy,
        volumes: failurePolicy,
        annotations: failurePolicy,
        policy: failurePolicy,
      })
      .describe('of each entry of the webhook configurations: what becomes of objects while the webhook is away'),
    timeoutSeconds: z.int().min(1).max(30).describe('how long API servers wait for an answer'),
    namespaceSelector: object.describe(
      'of the namespaces that the webhook is asked about, besides `excludedNamespaces`',
    ),
    objectSelector: object.describe('of the pods and workloads that the webhook is asked about').optional(),
    hostNetwork: z.boolean().describe('where API servers cannot reach addresses of pods'),
    dnsPolicy: z.string().describe('empty: as fits hostNetwork'),
    ports: z
      .strictObject({ https: port, metrics: port, health: port })
      .describe('that the pods listen on; with hostNetwork, ports of the nodes'),
    service: z.strictObject({ port, metricsPort: port, annotations: labels.optional() }).describe('of the Service'),
    topologySpreadConstraints: objects.describe('empty: over the nodes, as far as there are any').optional(),
    clientCa: z.strictObject({
      secret: z
        .string()
        .describe("of the release's namespace; its key `ca.crt` has the CA; empty: whoever reaches the port may ask"),
      names: z.array(z.string()).describe('of which their certificates must have one; empty: any'),
    }),
    podDisruptionBudget: z.boolean().describe('one replica at a time'),
    ...pods,
  }),
  node: z.strictObject({
    enabled: z.boolean().describe('media and devices'),
    logLevel,
    nodeFeatureDiscovery: z
      .boolean()
      .describe('tell node-feature-discovery what is plugged in, for hotmount.io/schedule: labels hotmount.io/<class>'),
    devicePlugin: z
      .boolean()
      .describe(
        'tell the kubelet how much is plugged in: extended resources hotmount.io/<class>, for scheduleBy: resource',
      ),
    ports: z.strictObject({ metrics: port }).describe('that the pods listen on'),
    ...pods,
  }),
  lxcfs: z.strictObject({
    enabled: z.boolean().describe('a truthful /proc'),
    ports: z.strictObject({ health: port }).describe('that the pods listen on'),
    ...pods,
  }),
  networkPolicy: z.strictObject({
    enabled: z.boolean().describe('limit who reaches the pods, and whom they reach'),
    metricsFrom: objects.describe('peers that may read the metrics; empty: everybody'),
    apiServerPorts: z.array(port).min(1).describe('that the webhook reaches API servers on'),
    apiServer: objects.describe('peers that are API servers; empty: any address'),
  }),
  monitoring: z.strictObject({
    serviceMonitor: z.boolean().describe("a ServiceMonitor and a PodMonitor, for Prometheus' operator"),
    prometheusRule: z.boolean().describe('alerts'),
    dashboard: z.boolean().describe("a ConfigMap that Grafana's sidecar finds"),
    interval: z.string().describe('between scrapes'),
    labels: labels.describe('by which Prometheus selects monitors and rules'),
  }),
  openshift: z.strictObject({ enabled: z.boolean().describe("binds OpenShift's security context constraints") }),
  cleanup: z.boolean().describe('before uninstalling: pods that take everything off the nodes, instead of the daemons'),
  global: z
    .looseObject({
      imageRegistry: z.string().nullable().optional(),
      imagePullSecrets: z.array(z.union([z.string(), z.strictObject({ name: z.string() })])).optional(),
    })
    .optional()
    .describe('of a parent chart: imageRegistry goes before image.repository'),
});
