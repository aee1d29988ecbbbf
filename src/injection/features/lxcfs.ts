import { lxcfsPath } from '../../contract/paths.ts';
import { LXCFS_VIEW_NAMES, LXCFS_VIEWS, type LxcfsView } from '../../contract/wants.ts';
import type { FeatureModule } from './feature.ts';
import { addMount, addReadOnlyDirectory, HOST_PATH, hostPath, type Mount, type Volume } from './mounts.ts';

/** One hostPath volume a view, never subPath: the kubelet's bind mounts for it outlive a dead lxcfs. */
export const lxcfs: FeatureModule<'lxcfs'> = {
  apply: (draft, container, { views = [] }, { annotation }) => {
    for (const view of views) {
      const { add, volume, mount } = PARTS[view];
      add(draft, container, volume, mount, annotation);
    }
  },
  describe: ({ views = [] }) => views.join(','),
  exposes: () => [HOST_PATH],
};

const PARTS = Object.fromEntries(
  LXCFS_VIEW_NAMES.map((view) => {
    const name = `hotmount-lxcfs-${view}`;
    const mountPath = LXCFS_VIEWS[view];
    const isDirectory = view === 'cpu';
    const volume = hostPath(name, lxcfsPath(mountPath), isDirectory ? 'Directory' : 'File');
    const add = isDirectory ? addReadOnlyDirectory : addMount;
    return [view, { add, volume, mount: { name, mountPath, readOnly: true } }];
  }),
) as unknown as Readonly<Record<LxcfsView, { add: typeof addMount; volume: Volume; mount: Mount }>>;
