import type { JsonObject } from '../../contract/json.ts';
import { normalizePath } from '../../contract/paths.ts';
import type { WantOf } from '../../contract/wants.ts';
import type { ContainerDraft, PodDraft } from '../draft.ts';
import { objectIn, stringIn } from '../shape.ts';
import { conflict, type FeatureModule } from './feature.ts';
import { OWN_VOLUME } from './mounts.ts';

/** The mode on the mounts of a volume that the container has already. */
export const propagation: FeatureModule<'propagation'> = {
  apply: (draft, container, want, { annotation }) => {
    if (want.volume.startsWith(OWN_VOLUME)) throw conflict('own_volume', { volume: want.volume, annotation });
    if (want.mode === 'Bidirectional') refuseBidirectional(draft, container, want.volume);
    for (const [index, mount] of container.mounts.entries()) {
      if (mount['name'] !== want.volume) continue;
      refuseMount(mount, container.propagation(index), container, want, annotation);
      container.setPropagation(index, want.mode);
    }
  },
  describe: ({ volume, mode }) => `${volume}=${mode}`,
  exposes: () => [],
};

function refuseMount(
  mount: JsonObject,
  mode: unknown,
  { container }: ContainerDraft,
  want: WantOf<'propagation'>,
  annotation: string,
): void {
  const where = { container: container.name, volume: want.volume, path: String(mount['mountPath']), annotation };
  if (mode !== 'None' && mode !== want.mode) throw conflict('propagation_conflict', { ...where, mode: String(mode) });
  // The API server: recursiveReadOnly goes with propagation None only (validateMountRecursiveReadOnly).
  const recursive = mount['recursiveReadOnly'] ?? 'Disabled';
  if (recursive !== 'Disabled' && want.mode !== 'None') {
    throw conflict('recursive_read_only_conflict', { ...where, mode: String(recursive) });
  }
}

function refuseBidirectional(draft: PodDraft, container: ContainerDraft, volume: string): void {
  const source = hostPathOf(draft, volume);
  if (source !== undefined && (source === '/' || source === '/dev' || source.startsWith('/dev/'))) {
    throw conflict('dev_bidirectional', { volume, path: source });
  }
  if (!container.privileged) {
    throw conflict('bidirectional_needs_privileged', { container: container.container.name, volume });
  }
}

function hostPathOf(draft: PodDraft, volume: string): string | undefined {
  const source = objectIn(draft.volume(volume) ?? {}, 'hostPath', 'spec.volumes');
  const path = source && stringIn(source, 'path', 'spec.volumes.hostPath');
  return path === undefined ? undefined : normalizePath(path);
}
