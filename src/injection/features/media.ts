import { mediaPath } from '../../contract/paths.ts';
import type { FeatureModule } from './feature.ts';
import { HOST_PATH, hostPath, withMount } from './mounts.ts';

/**
 * The class directory, with what is mounted below it later. `readOnly` covers the directory alone: what propagates in is as writable as
 * the node's own mount, and that is why a read-only request is another directory.
 */
export const media: FeatureModule<'media'> = {
  apply: (pod, container, { class: name, path, readOnly }, { annotation }) => {
    const volume = `hotmount-${readOnly ? 'media-ro' : 'media'}-${name}`;
    return withMount(
      pod,
      container,
      hostPath(volume, mediaPath(name, readOnly), 'Directory'),
      { name: volume, mountPath: path, readOnly: true, mountPropagation: 'HostToContainer' },
      annotation,
    );
  },
  describe: ({ class: name, path, readOnly }) => `${name}:${path}${readOnly ? ':ro' : ''}`,
  exposes: () => [HOST_PATH],
};
