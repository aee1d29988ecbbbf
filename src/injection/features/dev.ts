import type { FeatureModule } from './feature.ts';
import { HOST_PATH, hostPath, withMount } from './mounts.ts';

/**
 * Read-only: devices still open for writing, but none can be removed. New nodes appear without propagation, as devtmpfs is one live
 * file system; and the API server accepts recursiveReadOnly only with propagation None.
 */
export const dev: FeatureModule<'dev'> = {
  apply: (pod, container, { path }, { annotation }) =>
    withMount(
      pod,
      container,
      hostPath('hotmount-dev', '/dev', 'Directory'),
      {
        name: 'hotmount-dev',
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
