import fc from 'fast-check';
import type { Json, JsonObject } from '../../../../src/contract/json.ts';
import { podAnnotations, scalarAnnotations } from './annotations.ts';
import { CONTAINERS, field, object, pick, seldom, VOLUMES } from './basics.ts';

const PATHS = [
  '/data', '/data/', '/x', '//x', '/x/.', 'x', '/host-dev', '/media/usb', '/media/usb/', '/media/sd', '/dev/hotmount/serial',
  '/run/udev', '/proc/meminfo', '/proc//cpuinfo', '/sys/devices/system/cpu', '/y/../x', '/a', '/a/b',
]; // biome-ignore format: a table

const unknownField = fc.jsonValue({ maxDepth: 2 });

const securityContext = object({
  privileged: field(fc.boolean()),
  allowPrivilegeEscalation: field(fc.boolean()),
  capabilities: field(
    object({
      add: field(
        fc.uniqueArray(pick('NET_ADMIN', 'CAP_NET_RAW', 'cap_sys_admin', 'CHOWN', 'ALL', 'BPF'), { maxLength: 2 }),
      ),
      drop: field(fc.uniqueArray(pick('ALL', 'NET_RAW', 'CAP_NET_ADMIN', 'CHOWN'), { maxLength: 1 })),
    }),
  ),
  runAsUser: field(fc.nat()),
  future: field(unknownField),
});

const mount = object({
  name: pick(...VOLUMES),
  mountPath: pick(...PATHS),
  readOnly: field(fc.boolean()),
  mountPropagation: field(pick('None', 'None', 'HostToContainer', 'Bidirectional')),
  recursiveReadOnly: field(pick('Disabled', 'IfPossible', 'Enabled')),
  subPath: field(pick('', 'sub')),
  future: field(unknownField),
});
/** What an earlier pass, a copied pod or a user who knows us may have left. */
const hotmountMount = pick<JsonObject>(
  { name: 'hotmount-lxcfs-meminfo', mountPath: '/proc/meminfo', readOnly: true },
  { name: 'hotmount-lxcfs-meminfo', mountPath: '/proc/meminfo', readOnly: false },
  { name: 'hotmount-lxcfs-meminfo', mountPath: '/proc/meminfo', readOnly: true, subPath: 'x' },
  {
    name: 'hotmount-dev',
    mountPath: '/host-dev',
    readOnly: true,
    mountPropagation: 'None',
    recursiveReadOnly: 'IfPossible',
  },
  { name: 'hotmount-dev', mountPath: '/host-dev/', readOnly: true },
  { name: 'hotmount-media-usb', mountPath: '/media/usb', readOnly: true, mountPropagation: 'HostToContainer' },
  { name: 'hotmount-udev', mountPath: '/run/udev', readOnly: true },
);
const device = object({ name: pick('block', 'raw'), devicePath: pick('/dev/xvda', '/x', '/x/', '/media/usb') });
const port = object({
  containerPort: fc.integer({ min: 8080, max: 8083 }),
  hostPort: field(fc.integer({ min: 8080, max: 8083 })),
  protocol: field(pick('TCP', 'UDP')),
  hostIP: field(pick('', '10.0.0.1')),
  name: field(pick('http')),
});

const amounts = object({
  memory: field(pick('1Gi')),
  'hotmount.io/usb': seldom(pick('2')),
  future: field(unknownField),
});
const resources = object({ limits: field(amounts), requests: field(amounts), future: field(unknownField) });

const container = (name: string, sidecars: boolean): fc.Arbitrary<JsonObject> =>
  object({
    name: fc.constant(name),
    image: field(fc.constant('registry.example/app:1')),
    restartPolicy: sidecars ? field(pick('Always')) : fc.constant(undefined),
    securityContext: field(securityContext),
    volumeMounts: field(
      fc
        .tuple(
          fc.uniqueArray(mount, { maxLength: 3, selector: (m) => m['mountPath'] }),
          fc.array(hotmountMount, { maxLength: 1 }),
        )
        .map(([own, ours]) => (own.length > 0 && ours.length > 0 ? [...own, ...ours] : own)),
    ),
    volumeDevices: fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: field(fc.array(device, { maxLength: 1 })) },
    ),
    ports: fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: field(fc.array(port, { maxLength: 2 })) },
    ),
    resources: field(resources),
    future: field(unknownField),
  });

const source = object({
  hostPath: pick({ path: '/dev' }, { path: '/' }, { path: '/srv', type: '' }, { path: '/dev/disk/' }),
});
const volumes = fc
  .tuple(
    fc.array(
      fc.oneof(source, fc.constant({ emptyDir: {} }), fc.constant({ persistentVolumeClaim: { claimName: 'c' } })),
      { minLength: 4, maxLength: 4 },
    ),
    fc.uniqueArray(
      pick<JsonObject>(
        { name: 'hotmount-lxcfs-meminfo', hostPath: { path: '/run/hotmount/lxcfs/proc/meminfo', type: 'File' } },
        { name: 'hotmount-dev', hostPath: { path: '/dev', type: 'Directory' } },
        { name: 'hotmount-dev', csi: { driver: 'hotmount.io', readOnly: true, volumeAttributes: { dev: 'true' } } },
        { name: 'hotmount-media-usb', csi: { driver: 'hotmount.io', volumeAttributes: { media: 'sd' } } },
        {
          name: 'hotmount-devices-serial',
          csi: { driver: 'hotmount.io', readOnly: true, volumeAttributes: { devices: 'serial' }, fsType: null },
        },
        { name: 'hotmount-dev', hostPath: { path: '/etc', type: 'Directory' } },
        { name: 'hotmount-media-usb', emptyDir: {} },
        { name: 'hotmount-udevd', emptyDir: { medium: 'Memory' } },
        { name: 'hotmount-udev', hostPath: { path: '/run/udev', type: 'Directory' }, future: null },
      ),
      { maxLength: 2, selector: ({ name }) => name },
    ),
  )
  .map(([sources, ours]): Json => [...VOLUMES.map((name, i) => ({ name, ...sources[i] })), ...ours]);

type NameAndKind = readonly [name: string, init: boolean];

const podSpec = fc
  .uniqueArray(fc.tuple(pick(...CONTAINERS), fc.boolean()), { minLength: 1, maxLength: 4, selector: ([name]) => name })
  .chain((names) => {
    const [first, ...rest] = names as unknown as [NameAndKind, ...NameAndKind[]];
    const regular = [first, ...rest.filter(([, isInit]) => !isInit)];
    const init = rest.filter(([, isInit]) => isInit);
    return object({
      containers: fc.tuple(...regular.map(([name]) => container(name, false))),
      initContainers:
        init.length > 0 ? fc.tuple(...init.map(([name]) => container(name, true))) : field(fc.constant([])),
      volumes: fc.oneof({ weight: 12, arbitrary: volumes }, { weight: 1, arbitrary: pick(undefined, null, []) }),
      serviceAccountName: field(pick('', 'default', 'copier')),
      serviceAccount: field(pick('copier')),
      dnsPolicy: field(pick('ClusterFirst', 'Default', 'ClusterFirstWithHostNet')),
      hostNetwork: seldom(fc.boolean()),
      hostUsers: seldom(fc.boolean()),
      hostPID: seldom(fc.boolean()),
      shareProcessNamespace: seldom(fc.boolean()),
      runtimeClassName: seldom(pick('runc', 'kata-qemu', 'gvisor', '')),
      os: seldom(pick({ name: 'linux' }, { name: 'windows' })),
      nodeSelector: seldom(pick({ 'kubernetes.io/os': 'linux' }, { 'kubernetes.io/os': 'windows' })),
      securityContext: field(
        pick({ sysctls: [{ name: 'net.core.somaxconn', value: '1' }] }, { sysctls: null }, { fsGroup: 1 }),
      ),
      ephemeralContainers: seldom(fc.constant([{ name: 'debug', volumeMounts: null }])),
      future: field(unknownField),
    });
  });

const metadata = object({
  name: field(fc.constant('web-1')),
  generateName: field(fc.constant('web-')),
  labels: field(fc.dictionary(pick('app', 'tier', '__proto__'), pick('web', 'db', ''), { noNullPrototype: true })),
  annotations: fc.oneof({ weight: 20, arbitrary: podAnnotations }, { weight: 1, arbitrary: fc.constant(null) }),
  managedFields: field(fc.constant([{ manager: 'kubectl', fieldsV1: { 'f:spec': {} } }])),
});

/** Pods with valid types, nearly all of which the API server would take. */
export const pods: fc.Arbitrary<JsonObject> = object({
  apiVersion: fc.constant('v1'),
  kind: fc.constant('Pod'),
  metadata,
  spec: podSpec,
  status: field(fc.constant({})),
});

const workloadKinds = pick(
  { apiVersion: 'apps/v1', kind: 'Deployment' },
  { apiVersion: 'apps/v1', kind: 'StatefulSet' },
  { apiVersion: 'apps/v1', kind: 'DaemonSet' },
  { apiVersion: 'batch/v1', kind: 'Job' },
  { apiVersion: 'batch/v1', kind: 'CronJob' },
);

/** Workloads of each kind whose annotations are carried, with pods of the generator above as their templates. */
export const workloads: fc.Arbitrary<JsonObject> = fc
  .tuple(
    workloadKinds,
    field(scalarAnnotations),
    pods,
    field(scalarAnnotations),
    seldom(fc.constant([{ kind: 'CronJob', name: 'c', controller: true }])),
  )
  .map(([type, own, pod, ofJobTemplate, ownerReferences]) => {
    const template: JsonObject = { metadata: pod['metadata'] ?? null, spec: pod['spec'] ?? null };
    const owners = ownerReferences === undefined ? {} : { ownerReferences };
    const head = { name: 'web', ...(own !== undefined && { annotations: own }), ...owners };
    const jobTemplate = {
      ...(ofJobTemplate !== undefined && { metadata: { annotations: ofJobTemplate } }),
      spec: { template },
    };
    return { ...type, metadata: head, spec: type.kind === 'CronJob' ? { jobTemplate } : { replicas: 1, template } };
  });
