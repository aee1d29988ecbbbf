import { quote } from '../../contract/suggest.ts';
import { DEFAULT_DEV_PATH } from '../../contract/wants.ts';
import type { ContainerDraft } from '../container-draft.ts';
import type { PodDraft } from '../pod-draft.ts';
import { objectIn, objectsIn, stringIn } from '../shape.ts';
import { addCapability, capabilityExposure } from './capabilities.ts';
import { DEV_SOURCE, dev } from './dev.ts';
import { conflict, type Exposure, type FeatureModule } from './feature.ts';
import { addMount, addOwnMount, ownExposures, ownSource } from './mounts.ts';

/**
 * kernel  the kernel's events reach every network namespace of the initial user namespace: nothing to add
 * udev    udevd's own messages stay in the host's network namespace, and libudev reads its database at /run/udev
 * udevd   a udevd of the container's own: the node's /dev, the netlink capabilities, a database of its own
 */
export const uevents: FeatureModule<'uevents'> = {
  apply: (draft, container, { access }, applying) => {
    const { annotation, devPath = DEFAULT_DEV_PATH } = applying;
    if (access === 'udev') {
      addHostNetwork(draft, annotation);
      const mount = { name: DATABASE.name, mountPath: '/run/udev', readOnly: true } as const;
      addOwnMount(draft, container, DATABASE, mount, annotation);
    }
    if (access === 'udevd') {
      for (const capability of UDEVD_CAPABILITIES) addCapability(container, capability, annotation);
      dev.apply(draft, container, { feature: 'dev', path: devPath }, applying);
      const mount = { name: OWN_DATABASE.name, mountPath: '/run/udev' };
      addMount(draft, container, OWN_DATABASE, mount, annotation);
    }
  },
  describe: ({ access }) => access,
  exposes: ({ access }, draft) => {
    if (access === 'kernel') return [];
    if (access === 'udev') return [...ownExposures(draft, DATABASE), HOST_NETWORK];
    return [...ownExposures(draft, DEV_SOURCE), ...UDEVD_CAPABILITIES.flatMap(capabilityExposure)];
  },
};

const HOST_NETWORK: Exposure = { level: 'baseline', field: 'spec.hostNetwork' };
const DATABASE = ownSource({ gives: 'udev' });
const OWN_DATABASE = { name: 'hotmount-udevd', emptyDir: {} };
const UDEVD_CAPABILITIES = ['NET_ADMIN', 'NET_RAW'];

function addHostNetwork(draft: PodDraft, annotation: string): void {
  if (draft.podField('hostNetwork') === true) return;
  const problem = draft.once(hostNetworkProblem);
  if (problem) throw conflict('host_network_conflict', { what: problem, annotation });
  draft.setPodField('hostNetwork', true);
  const dns = draft.podField('dnsPolicy') ?? 'ClusterFirst';
  if (dns === 'ClusterFirst') draft.setPodField('dnsPolicy', 'ClusterFirstWithHostNet');
}

/**
 * What of the pod, as it came, speaks against hostNetwork: a `false` of the user's own, which only manifests show (API servers leave it
 * out), and what the API server refuses together with it (pkg/apis/core/validation).
 */
function hostNetworkProblem({ spec, containers }: PodDraft): string | undefined {
  if (spec['hostNetwork'] === false) return 'hostNetwork: false';
  if (spec['hostnameOverride'] !== undefined && spec['hostnameOverride'] !== null) return 'a hostnameOverride';
  const security = objectIn(spec, 'securityContext', 'spec') ?? {};
  for (const sysctl of objectsIn(security, 'sysctls', 'spec.securityContext')) {
    const name = stringIn(sysctl, 'name', 'spec.securityContext.sysctls') ?? '';
    if (/^net[./]/.test(name)) return `the sysctl ${quote(name)}`;
  }
  return portProblem(containers);
}

/**
 * The API server sets each missing hostPort to the containerPort (SetDefaults_Pod), then refuses, of spec.containers, those that differ
 * (validateHostNetwork), and a port that spec.containers together, or one init container, have twice (checkHostPortConflicts).
 */
function portProblem(containers: Iterable<ContainerDraft>): string | undefined {
  const regular = new Set<string>();
  for (const { container, original } of containers) {
    const seen = container.kind === 'regular' ? regular : new Set<string>();
    for (const port of objectsIn(original, 'ports', container.field)) {
      const { containerPort, hostPort } = port;
      const protocol = stringIn(port, 'protocol', `${container.field}.ports`) ?? 'TCP';
      const hostIP = stringIn(port, 'hostIP', `${container.field}.ports`) ?? '';
      const what = `port ${quote(containerPort)} in container ${quote(container.name)}`;
      if (container.kind === 'regular' && hostPort && hostPort !== containerPort)
        return `${what} with another hostPort`;
      const key = `${protocol}/${hostIP}/${quote(hostPort || containerPort)}`;
      if (seen.has(key)) return `${what} a second time`;
      seen.add(key);
    }
  }
  return undefined;
}
