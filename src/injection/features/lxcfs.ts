import { lxcfsPath } from '../../contract/paths.ts';
import { LXCFS_VIEWS, type LxcfsView } from '../../contract/wants.ts';
import type { FeatureModule } from './feature.ts';
import { HOST_PATH, hostPath, withMount } from './mounts.ts';

/** One hostPath volume a view, never subPath: the kubelet's bind mounts for it outlive a dead lxcfs. */
export const lxcfs: FeatureModule<'lxcfs'> = {
  apply: (pod, container, { views = [] }, { annotation }) =>
    views.reduce((pod, view) => {
      const mountPath = LXCFS_VIEWS[view];
      const volume = hostPath(volumeName(view), lxcfsPath(mountPath), view === 'cpu' ? 'Directory' : 'File');
      return withMount(pod, container, volume, { name: volumeName(view), mountPath, readOnly: true }, annotation);
    }, pod),
  describe: ({ views = [] }) => views.join(','),
  exposes: () => [HOST_PATH],
};

const volumeName = (view: LxcfsView): string => `hotmount-lxcfs-${view}`;
