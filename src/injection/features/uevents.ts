import type { JsonObject } from '../../contract/json.ts';
import { DEFAULT_DEV_PATH } from '../../contract/wants.ts';
import { containerIn, containersOf } from '../containers.ts';
import { edit } from '../edit.ts';
import { objectsIn } from '../shape.ts';
import { addCapability, capabilityExposure } from './capabilities.ts';
import { dev } from './dev.ts';
import { conflict, type FeatureModule } from './feature.ts';
import { HOST_PATH, hostPath, withMount } from './mounts.ts';

/**
 * kernel  the kernel's events reach every network namespace of the initial user namespace: nothing to add
 * udev    udevd's own messages stay in the host's network namespace, and libudev reads its database at /run/udev
 * udevd   a udevd of the container's own: the node's /dev, the netlink capabilities, a database of its own
 */
export const uevents: FeatureModule<'uevents'> = {
  apply: (pod, container, { access }, request) => {
    const { annotation } = request;
    if (access === 'kernel') return pod;
    if (access === 'udev') {
      const volume = hostPath('hotmount-udev', '/run/udev', 'Directory');
      const mount = { name: 'hotmount-udev', mountPath: '/run/udev', readOnly: true };
      return withMount(withHostNetwork(pod, annotation), container, volume, mount, annotation);
    }
    let result = pod;
    for (const capability of UDEVD_CAPABILITIES) {
      result = addCapability(result, container, capability, annotation);
    }
    const path = request.devPath ?? DEFAULT_DEV_PATH;
    result = dev.apply(result, container, { feature: 'dev', path }, request);
    const mount = { name: 'hotmount-udevd', mountPath: '/run/udev' };
    return withMount(result, container, { name: 'hotmount-udevd', emptyDir: {} }, mount, annotation);
  },
  describe: ({ access }) => access,
  exposes: ({ access }) => {
    if (access === 'kernel') return [];
    if (access === 'udev') return [HOST_PATH, { level: 'baseline', field: 'spec.hostNetwork' }];
    return [HOST_PATH, ...UDEVD_CAPABILITIES.flatMap(capabilityExposure)];
  },
};

const UDEVD_CAPABILITIES = ['NET_ADMIN', 'NET_RAW'];

function withHostNetwork(pod: JsonObject, annotation: string): JsonObject {
  const spec = pod['spec'] as JsonObject;
  if (spec['hostNetwork'] === true) return pod;
  refusePorts(pod, annotation);
  const onHost = edit(pod, ['spec', 'hostNetwork'], () => true);
  const dns = spec['dnsPolicy'] ?? 'ClusterFirst';
  return dns === 'ClusterFirst' ? edit(onHost, ['spec', 'dnsPolicy'], () => 'ClusterFirstWithHostNet') : onHost;
}

/**
 * On the host network the API server sets each missing hostPort to the containerPort (SetDefaults_Pod), then refuses those that differ
 * and those that two containers share (validateHostNetwork, AccumulateUniqueHostPorts).
 */
function refusePorts(pod: JsonObject, annotation: string): void {
  const seen = new Set<string>();
  for (const container of containersOf(pod['spec'] as JsonObject)) {
    for (const port of objectsIn(containerIn(pod, container), 'ports', container.field)) {
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
