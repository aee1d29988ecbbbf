import type { JsonObject } from '../../contract/json.ts';
import { normalizePath } from '../../contract/paths.ts';
import type { WantOf } from '../../contract/wants.ts';
import type { ContainerDraft } from '../container-draft.ts';
import type { PodDraft } from '../pod-draft.ts';
import { objectIn, stringIn } from '../shape.ts';
import { conflict, type FeatureModule } from './feature.ts';

/** The mode on the mounts of a volume that the container has already. */
export const propagation: FeatureModule<'propagation'> = {
  apply: (draft, container, want, { annotation }) => {
    if (want.mode === 'Bidirectional') refuseBidirectional(draft, container, want.volume);
    for (const [index, mount] of container.mounts.entries()) {
      if (mount['name'] !== want.volume) continue;
      refuseMount(mount, index, container, want, annotation);
      container.setPropagation(index, want.mode);
    }
  },
  describe: ({ volume, mode }) => `${volume}=${mode}`,
  exposes: () => [],
};

function refuseMount(
  mount: JsonObject,
  index: number,
  container: ContainerDraft,
  want: WantOf<'propagation'>,
  annotation: string,
): void {
  const { name, field } = container.container;
  const text = (key: string) => stringIn(mount, key, `${field}.volumeMounts[${index}]`);
  const where = { container: name, volume: want.volume, path: text('mountPath') ?? '', annotation };
  const mode = container.propagation(index);
  if (mode !== undefined && mode !== want.mode) throw conflict('propagation_conflict', { ...where, mode });
  // The API server: recursiveReadOnly goes with propagation None only (validateMountRecursiveReadOnly).
  const recursive = text('recursiveReadOnly') ?? 'Disabled';
  if (recursive !== 'Disabled' && want.mode !== 'None') {
    throw conflict('recursive_read_only_conflict', { ...where, mode: recursive });
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
