import { posix } from 'node:path';

/**
 * The rules of kube-apiserver (pkg/apis/core/validation) that hotmount's additions can come into conflict with, written down a second
 * time for the tests: naively, on loosely typed pods, and sharing nothing with src/. Each violation is one line, the same for the same
 * mistake wherever else the pod changed.
 */
export function violations(pod: unknown): ReadonlySet<string> {
  const spec = (pod as { spec: LoosePodSpec }).spec;
  const found = new Set<string>();
  const volumes = spec.volumes ?? [];
  for (const { name } of duplicates(volumes, (volume) => volume.name)) found.add(`volume ${name} twice`);
  for (const volume of volumes) {
    const sources = Object.keys(volume).filter((key) => key !== 'name' && volume[key] !== null);
    if (sources.length !== 1) found.add(`volume ${volume.name} has ${sources.length} sources`);
  }
  const windows = spec.os?.name === 'windows';
  const named = new Set(volumes.map(({ name }) => name));
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  for (const container of containers) for (const line of ofContainer(container, named)) found.add(line);
  if (windows && spec.hostNetwork) found.add('hostNetwork on Windows');
  if (windows && containers.some(({ securityContext: s }) => s?.privileged || s?.capabilities)) {
    found.add('a Linux securityContext on Windows');
  }
  if (spec.hostNetwork) for (const line of ofHostNetwork(spec)) found.add(line);
  return found;
}

interface LooseContainer {
  name: string;
  securityContext?: {
    privileged?: boolean;
    allowPrivilegeEscalation?: boolean;
    capabilities?: { add?: string[] | null } | null;
  } | null;
  volumeMounts?: LooseMount[] | null;
  volumeDevices?: { name: string; devicePath: string }[] | null;
  ports?: { containerPort: number; hostPort?: number; protocol?: string; hostIP?: string }[] | null;
}
interface LooseMount {
  name: string;
  mountPath: string;
  readOnly?: boolean;
  mountPropagation?: string | null;
  recursiveReadOnly?: string | null;
  subPath?: string;
}
interface LoosePodSpec {
  os?: { name?: string } | null;
  hostNetwork?: boolean | null;
  hostUsers?: boolean | null;
  hostnameOverride?: string | null;
  volumes?: ({ name: string } & Record<string, unknown>)[] | null;
  containers?: LooseContainer[] | null;
  initContainers?: LooseContainer[] | null;
  securityContext?: { sysctls?: { name: string }[] | null } | null;
}

/** A mountPath may be relative: the kubelet puts the slash before it (pkg/kubelet/kubelet_pods.go, makeMounts). */
const normal = (path: string): string => posix.resolve('/', path);

function* ofContainer(container: LooseContainer, volumes: ReadonlySet<string>): Generator<string> {
  const at = `container ${container.name}`;
  const security = container.securityContext ?? {};
  const mounts = container.volumeMounts ?? [];
  const paths = [
    ...mounts.map(({ mountPath }) => normal(mountPath)),
    ...(container.volumeDevices ?? []).map(({ devicePath }) => normal(devicePath)),
  ];
  for (const path of duplicates(paths, (path) => path)) yield `${at}: ${path} twice`;
  const devices = new Set((container.volumeDevices ?? []).map(({ name }) => name));
  for (const mount of mounts) {
    if (!volumes.has(mount.name)) yield `${at}: no volume ${mount.name}`;
    if (devices.has(mount.name)) yield `${at}: volume ${mount.name} is a volumeDevice too`;
    const propagation = mount.mountPropagation ?? 'None';
    if (!['None', 'HostToContainer', 'Bidirectional'].includes(propagation)) yield `${at}: propagation ${propagation}`;
    if (propagation === 'Bidirectional' && security.privileged !== true) yield `${at}: ${mount.name} Bidirectional`;
    if ((mount.recursiveReadOnly ?? 'Disabled') !== 'Disabled') {
      if (propagation !== 'None') yield `${at}: ${mount.name} at ${mount.mountPath} recursiveReadOnly with propagation`;
      if (mount.readOnly !== true)
        yield `${at}: ${mount.name} at ${mount.mountPath} recursiveReadOnly without readOnly`;
    }
  }
  if (security.allowPrivilegeEscalation === false) {
    if (security.privileged) yield `${at}: privileged without escalation`;
    const adds = (security.capabilities?.add ?? []).map((name) => name.toUpperCase().replace('CAP_', ''));
    if (adds.includes('SYS_ADMIN')) yield `${at}: SYS_ADMIN without escalation`;
  }
  const adds = (security.capabilities?.add ?? []).map((name) => name.toUpperCase().replace('CAP_', ''));
  for (const name of duplicates(adds, (name) => name)) yield `${at}: capability ${name} twice`;
}

/** validatePodHostNetworkDeps, AccumulateUniqueHostPorts, validateSysctls, after SetDefaults_Pod has given each port its hostPort. */
function* ofHostNetwork(spec: LoosePodSpec): Generator<string> {
  if (spec.hostUsers === false) yield 'hostNetwork with hostUsers: false';
  if (spec.hostnameOverride) yield 'hostNetwork with hostnameOverride';
  for (const { name } of spec.securityContext?.sysctls ?? []) {
    if (name.replaceAll('/', '.').startsWith('net.')) yield `hostNetwork with sysctl ${name}`;
  }
  const ports = (container: LooseContainer) => container.ports ?? [];
  for (const container of spec.containers ?? []) {
    for (const { containerPort, hostPort } of ports(container)) {
      if (hostPort && hostPort !== containerPort)
        yield `container ${container.name}: port ${containerPort}, host's ${hostPort}`;
    }
  }
  const key = (port: { containerPort: number; hostPort?: number; protocol?: string; hostIP?: string }) =>
    `${port.protocol ?? 'TCP'}/${port.hostIP ?? ''}/${port.hostPort || port.containerPort}`;
  const together = [(spec.containers ?? []).flatMap(ports), ...(spec.initContainers ?? []).map(ports)];
  for (const group of together) for (const port of duplicates(group, key)) yield `port ${key(port)} twice`;
}

function duplicates<T>(items: readonly T[], key: (item: T) => string): readonly T[] {
  const seen = new Set<string>();
  return items.filter((item) => seen.size === seen.add(key(item)).size);
}
