import { mediaPath } from '../../contract/paths.ts';
import type { FeatureModule } from './feature.ts';
import { addReadOnlyDirectory, HOST_PATH, hostPath } from './mounts.ts';

/**
 * The class directory, with what is mounted below it later. `readOnly` covers the directory alone: what propagates in is as writable as
 * the node's own mount, and that is why a read-only request is another directory.
 */
export const media: FeatureModule<'media'> = {
  apply: (draft, container, { class: className, path, readOnly }, { annotation }) => {
    const name = `hotmount-${readOnly ? 'ro-' : ''}media-${className}`;
    addReadOnlyDirectory(
      draft,
      container,
      hostPath(name, mediaPath(className, readOnly), 'Directory'),
      { name, mountPath: path, readOnly: true, mountPropagation: 'HostToContainer' },
      annotation,
    );
  },
  describe: ({ class: className, path, readOnly }) => `${className}:${path}${readOnly ? ':ro' : ''}`,
  exposes: () => [HOST_PATH],
};
