import type { WantOf } from '../../contract/wants.ts';
import type { PodDraft } from '../pod-draft.ts';
import type { FeatureModule } from './feature.ts';
import { addReadOnlyDirectory, type OwnSource, ownExposures, ownSource } from './mounts.ts';

/**
 * The class directory, with what is mounted below it later. `readOnly` covers the directory alone: what propagates in is as writable as
 * the node's own mount, and that is why a read-only request is another directory.
 */
export const media: FeatureModule<'media'> = {
  apply: (draft, container, want, { annotation }) => {
    const source = sourceOf(want, draft);
    addReadOnlyDirectory(
      draft,
      container,
      source,
      { name: source.name, mountPath: want.path, readOnly: true, mountPropagation: 'HostToContainer' },
      annotation,
    );
  },
  describe: ({ class: className, path, readOnly }) => `${className}:${path}${readOnly ? ':ro' : ''}`,
  exposes: (want, draft) => ownExposures(draft, sourceOf(want, draft)),
};

function sourceOf({ class: className, readOnly }: WantOf<'media'>, draft: PodDraft): OwnSource {
  const ownUsers = draft.spec['hostUsers'] === false ? ({ ownUsers: true } as const) : {};
  return ownSource({ gives: 'media', class: className, readOnly, ...ownUsers });
}
