import type { WantOf } from '../../contract/wants.ts';
import type { FeatureModule } from './feature.ts';
import { addReadOnlyDirectory, type OwnSource, ownExposures, ownSource } from './mounts.ts';

/** The class directory; the daemon makes device nodes in it, which a read-only mount lets open for writing all the same. */
export const devices: FeatureModule<'devices'> = {
  apply: (draft, container, want, { annotation }) => {
    const source = sourceOf(want);
    const mount = { name: source.name, mountPath: want.path, readOnly: true } as const;
    addReadOnlyDirectory(draft, container, source, mount, annotation);
  },
  describe: ({ class: className, path }) => `${className}:${path}`,
  exposes: (want, draft) => ownExposures(draft, sourceOf(want)),
};

const sourceOf = ({ class: className }: WantOf<'devices'>): OwnSource =>
  ownSource({ gives: 'devices', class: className });
