import { LIVE_ANNOTATIONS, LIVE_ANNOTATIONS_DIRECTORY } from '../../contract/volumes.ts';
import { conflict, type FeatureModule } from './feature.ts';
import { addMount, addReadOnlyDirectory, ownExposures, ownSource } from './mounts.ts';

/**
 * A directory of the pod's own: the node binds class directories into it, which `HostToContainer` lets running containers see. The node
 * learns the pod's annotations from a downwardAPI volume. That one is mounted inside, out of the way: the node makes the mount point.
 */
export const live: FeatureModule<'live'> = {
  apply: (draft, container, { path }, { annotation }) => {
    if (draft.volumeKind === 'hostPath') throw conflict('live_needs_csi', { annotation });
    const annotations = `${path}/${LIVE_ANNOTATIONS_DIRECTORY}`;
    // First: what comes after is refused inside a directory that is read-only.
    addMount(
      draft,
      container,
      ANNOTATIONS,
      { name: ANNOTATIONS.name, mountPath: annotations, readOnly: true },
      annotation,
    );
    addReadOnlyDirectory(
      draft,
      container,
      LIVE,
      { name: LIVE.name, mountPath: path, readOnly: true, mountPropagation: 'HostToContainer' },
      annotation,
      annotations,
    );
  },
  describe: ({ path }) => path,
  exposes: (_, draft) => ownExposures(draft, LIVE),
};

const LIVE = ownSource({ gives: 'live' });
const ANNOTATIONS = {
  name: LIVE_ANNOTATIONS.volume,
  downwardAPI: { items: [{ path: LIVE_ANNOTATIONS.file, fieldRef: { fieldPath: 'metadata.annotations' } }] },
};
