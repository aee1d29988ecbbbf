import type { JsonObject } from '../../contract/json.ts';
import { normalizePath } from '../../contract/paths.ts';
import type { WantOf } from '../../contract/wants.ts';
import { type Container, containerIn } from '../containers.ts';
import { edit } from '../edit.ts';
import { objectIn, objectsIn, stringIn } from '../shape.ts';
import { conflict, type FeatureModule } from './feature.ts';
import { OWN_VOLUME } from './mounts.ts';

/** The mode on the mounts of a volume that the container has already. */
export const propagation: FeatureModule<'propagation'> = {
  apply: (pod, container, want, { annotation }) => {
    if (want.volume.startsWith(OWN_VOLUME)) throw conflict('own_volume', { volume: want.volume, annotation });
    if (want.mode === 'Bidirectional') refuseBidirectional(pod, container, want.volume);
    const mounts = objectsIn(containerIn(pod, container), 'volumeMounts', container.field);
    return mounts.reduce((pod, mount, index) => {
      if (mount['name'] !== want.volume) return pod;
      refuseMount(mount, container, want, annotation);
      return edit(pod, [...container.path, 'volumeMounts', index, 'mountPropagation'], () => want.mode);
    }, pod);
  },
  describe: ({ volume, mode }) => `${volume}=${mode}`,
  exposes: () => [],
};

function refuseMount(mount: JsonObject, container: Container, want: WantOf<'propagation'>, annotation: string): void {
  const where = {
    container: container.name,
    volume: want.volume,
    path: String(mount['mountPath']),
    annotation,
  };
  const mode = mount['mountPropagation'] ?? 'None';
  if (mode !== 'None' && mode !== want.mode) throw conflict('propagation_conflict', { ...where, mode: String(mode) });
  // The API server: recursiveReadOnly goes with propagation None only (validateMountRecursiveReadOnly).
  const recursive = mount['recursiveReadOnly'] ?? 'Disabled';
  if (recursive !== 'Disabled' && want.mode !== 'None') {
    throw conflict('recursive_read_only_conflict', { ...where, mode: String(recursive) });
  }
}

function refuseBidirectional(pod: JsonObject, container: Container, volume: string): void {
  const source = hostPathOf(pod, volume);
  if (source !== undefined && (source === '/' || source === '/dev' || source.startsWith('/dev/'))) {
    throw conflict('dev_bidirectional', { volume, path: source });
  }
  const security = objectIn(containerIn(pod, container), 'securityContext', container.field);
  if (security?.['privileged'] !== true) {
    throw conflict('bidirectional_needs_privileged', { container: container.name, volume });
  }
}

function hostPathOf(pod: JsonObject, volume: string): string | undefined {
  const found = objectsIn(pod['spec'] as JsonObject, 'volumes', 'spec').find(({ name }) => name === volume);
  const source = found && objectIn(found, 'hostPath', 'spec.volumes');
  const path = source && stringIn(source, 'path', 'spec.volumes.hostPath');
  return path === undefined ? undefined : normalizePath(path);
}
