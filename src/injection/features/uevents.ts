import { DEFAULT_DEV_PATH } from '../../contract/wants.ts';
import type { PodDraft } from '../draft.ts';
import { objectsIn } from '../shape.ts';
import { addCapability, capabilityExposure } from './capabilities.ts';
import { dev } from './dev.ts';
import { conflict, type FeatureModule } from './feature.ts';
import { addMount, HOST_PATH, hostPath } from './mounts.ts';

/**
 * kernel  the kernel's events reach every network namespace of the initial user namespace: nothing to add
 * udev    udevd's own messages stay in the host's network namespace, and libudev reads its database at /run/udev
 * udevd   a udevd of the container's own: the node's /dev, the netlink capabilities, a database of its own
 */
export const uevents: FeatureModule<'uevents'> = {
  apply: (draft, container, { access }, request) => {
    const { annotation } = request;
    if (access === 'udev') {
      addHostNetwork(draft, annotation);
      const mount = { name: DATABASE.name, mountPath: '/run/udev', readOnly: true } as const;
      addMount(draft, container, DATABASE, mount, annotation);
    }
    if (access === 'udevd') {
      for (const capability of UDEVD_CAPABILITIES) addCapability(container, capability, annotation);
      dev.apply(draft, container, { feature: 'dev', path: request.devPath ?? DEFAULT_DEV_PATH }, request);
      const mount = { name: OWN_DATABASE.name, mountPath: '/run/udev' };
      addMount(draft, container, OWN_DATABASE, mount, annotation);
    }
  },
  describe: ({ access }) => access,
  exposes: ({ access }) => {
    if (access === 'kernel') return [];
    if (access === 'udev') return [HOST_PATH, { level: 'baseline', field: 'spec.hostNetwork' }];
    return [HOST_PATH, ...UDEVD_CAPABILITIES.flatMap(capabilityExposure)];
  },
};

const DATABASE = hostPath('hotmount-udev', '/run/udev', 'Directory');
const OWN_DATABASE = { name: 'hotmount-udevd', emptyDir: {} };
const UDEVD_CAPABILITIES = ['NET_ADMIN', 'NET_RAW'];

function addHostNetwork(draft: PodDraft, annotation: string): void {
  if (draft.podField('hostNetwork') === true) return;
  refusePorts(draft, annotation);
  draft.setPodField('hostNetwork', true);
  const dns = draft.podField('dnsPolicy') ?? 'ClusterFirst';
  if (dns === 'ClusterFirst') draft.setPodField('dnsPolicy', 'ClusterFirstWithHostNet');
}

/**
 * On the host network the API server sets each missing hostPort to the containerPort (SetDefaults_Pod), then refuses those that differ
 * and those that two containers share (validateHostNetwork, AccumulateUniqueHostPorts).
 */
function refusePorts(draft: PodDraft, annotation: string): void {
  const seen = new Set<string>();
  for (const { container, original } of draft.containers) {
    for (const port of objectsIn(original, 'ports', container.field)) {
      const refuse = (why: string) =>
        conflict('host_port_conflict', {
          container: container.name,
          port: String(port['containerPort']),
          why,
          annotation,
        });
      if (port['hostPort'] && port['hostPort'] !== port['containerPort']) throw refuse('has another hostPort');
      if (container.kind === 'init') continue;
      const key = [port['protocol'] ?? 'TCP', port['hostIP'] ?? '', port['containerPort']].join('/');
      if (seen.has(key)) throw refuse('another port of the pod takes too');
      seen.add(key);
    }
  }
}
