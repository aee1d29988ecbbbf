import type { FeatureModule } from './feature.ts';
import { addReadOnlyDirectory, HOST_PATH, hostPath } from './mounts.ts';

/**
 * Read-only: devices still open for writing, but none can be removed. New nodes appear without propagation, as devtmpfs is one live
 * file system; and the API server accepts recursiveReadOnly only with propagation None.
 */
export const dev: FeatureModule<'dev'> = {
  apply: (draft, container, { path }, { annotation }) =>
    addReadOnlyDirectory(
      draft,
      container,
      VOLUME,
      {
        name: VOLUME.name,
        mountPath: path,
        readOnly: true,
        mountPropagation: 'None',
        recursiveReadOnly: 'IfPossible',
      },
      annotation,
    ),
  describe: ({ path }) => path,
  exposes: () => [HOST_PATH],
};

const VOLUME = hostPath('hotmount-dev', '/dev', 'Directory');
