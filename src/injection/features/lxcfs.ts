import { LXCFS_VIEW_NAMES, LXCFS_VIEWS, type LxcfsView } from '../../contract/wants.ts';
import type { FeatureModule } from './feature.ts';
import { addOwnMount, addReadOnlyDirectory, type Mount, type OwnSource, ownExposures, ownSource } from './mounts.ts';

/** One volume a view, never subPath: the kubelet's bind mounts for it outlive a dead lxcfs. */
export const lxcfs: FeatureModule<'lxcfs'> = {
  apply: (draft, container, { views = [] }, { annotation }) => {
    for (const view of views) {
      const { add, source, mount } = PARTS[view];
      add(draft, container, source, mount, annotation);
    }
  },
  describe: ({ views = [] }) => views.join(','),
  exposes: ({ views = [] }, draft) => views.flatMap((view) => ownExposures(draft, PARTS[view].source)),
};

const PARTS = Object.fromEntries(
  LXCFS_VIEW_NAMES.map((view) => {
    const source = ownSource({ gives: 'lxcfs', view });
    const add = view === 'cpu' ? addReadOnlyDirectory : addOwnMount;
    return [view, { add, source, mount: { name: source.name, mountPath: LXCFS_VIEWS[view], readOnly: true } }];
  }),
) as unknown as Readonly<Record<LxcfsView, { add: typeof addOwnMount; source: OwnSource; mount: Mount }>>;
