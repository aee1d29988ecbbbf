import type { FeatureModule } from './feature.ts';
import { addReadOnlyDirectory, ownExposures, ownSource } from './mounts.ts';

/**
 * Read-only: devices still open for writing, but none can be removed. New nodes appear without propagation, as devtmpfs is one live
 * file system; and the API server accepts recursiveReadOnly only with propagation None.
 */
export const dev: FeatureModule<'dev'> = {
  apply: (draft, container, { path }, { annotation }) =>
    addReadOnlyDirectory(
      draft,
      container,
      DEV_SOURCE,
      {
        name: DEV_SOURCE.name,
        mountPath: path,
        readOnly: true,
        mountPropagation: 'None',
        recursiveReadOnly: 'IfPossible',
      },
      annotation,
    ),
  describe: ({ path }) => path,
  exposes: (_, draft) => ownExposures(draft, DEV_SOURCE),
};

/** The node's /dev. */
export const DEV_SOURCE = ownSource({ gives: 'dev' });
