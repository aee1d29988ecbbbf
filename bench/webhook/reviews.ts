import type { JsonObject } from '../../src/contract/json.ts';

/** The AdmissionReview of a pod that a Deployment made: about 6 KB, three containers, asking for lxcfs and a media class. */
export function typicalReview(): string {
  return review(pod([]));
}

/** The same with a pod of 1.6 MB, most of it managedFields: 20,000 entries. */
export function largeReview(): string {
  const managedFields = Array.from({ length: 20_000 }, (_, i) => ({
    manager: `controller-${i}`,
    operation: 'Update',
    time: '2026-01-01T00:00:00Z',
  }));
  return review(pod(managedFields));
}

function review(object: JsonObject): string {
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      requestKind: { group: '', version: 'v1', kind: 'Pod' },
      namespace: 'edge-1',
      operation: 'CREATE',
      userInfo: {
        username: 'system:serviceaccount:kube-system:replicaset-controller',
        groups: ['system:authenticated'],
      },
      object,
      oldObject: null,
      dryRun: false,
      options: { apiVersion: 'meta.k8s.io/v1', kind: 'CreateOptions' },
    },
  });
}

function pod(managedFields: readonly JsonObject[]): JsonObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: 'copier-5d59d67564-',
      creationTimestamp: null,
      labels: { app: 'copier', 'pod-template-hash': '5d59d67564' },
      annotations: { 'hotmount.io/lxcfs': 'true', 'hotmount.io/media': 'usb' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'copier-5d59d67564', uid: '1', controller: true },
      ],
      managedFields,
    },
    spec: {
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }, ...serviceAccountVolume()],
      containers: ['web', 'worker', 'metrics'].map(container),
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      serviceAccountName: 'copier',
      securityContext: {},
      schedulerName: 'default-scheduler',
      tolerations: ['not-ready', 'unreachable'].map((key) => ({
        key: `node.kubernetes.io/${key}`,
        operator: 'Exists',
        effect: 'NoExecute',
        tolerationSeconds: 300,
      })),
      priority: 0,
      enableServiceLinks: true,
      preemptionPolicy: 'PreemptLowerPriority',
    },
    status: {},
  };
}

const container = (name: string): JsonObject => ({
  name,
  image: `registry.example/copier/${name}:1.4.2`,
  ports: [{ containerPort: 8080, protocol: 'TCP' }],
  env: Array.from({ length: 12 }, (_, i) => ({ name: `SETTING_${i}`, value: `value number ${i} of ${name}` })),
  resources: { limits: { cpu: '500m', memory: '256Mi' }, requests: { cpu: '100m', memory: '128Mi' } },
  volumeMounts: [
    { name: 'data', mountPath: '/data' },
    { name: 'kube-api-access', readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
  ],
  livenessProbe: {
    httpGet: { path: '/healthz', port: 8080, scheme: 'HTTP' },
    timeoutSeconds: 1,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
  },
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
  imagePullPolicy: 'IfNotPresent',
  securityContext: { runAsNonRoot: true, readOnlyRootFilesystem: true },
});

const serviceAccountVolume = (): JsonObject[] => [
  {
    name: 'kube-api-access',
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      ],
      defaultMode: 420,
    },
  },
];
