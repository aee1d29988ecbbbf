import type { Feature } from '../../contract/annotations.ts';
import type { Want } from '../../contract/wants.ts';
import type { Container } from '../containers.ts';
import type { PodDraft } from '../pod-draft.ts';
import { capabilities } from './capabilities.ts';
import { dev } from './dev.ts';
import { devices } from './devices.ts';
import type { Applying, Exposure, FeatureModule } from './feature.ts';
import { live } from './live.ts';
import { lxcfs } from './lxcfs.ts';
import { media } from './media.ts';
import { privileged } from './privileged.ts';
import { propagation } from './propagation.ts';
import { uevents } from './uevents.ts';

export { type Applying, Conflict, type Exposure } from './feature.ts';

const MODULES: { readonly [F in Feature]: FeatureModule<F> } = {
  privileged,
  capabilities,
  uevents,
  lxcfs,
  dev,
  media,
  devices,
  live,
  propagation,
};

// TypeScript cannot see that a want and the module looked up by its feature belong together.
const moduleOf = (want: Want) => MODULES[want.feature] as FeatureModule<Feature>;

/** Gives a want to a container wholly or, where it throws, not at all. Throws what FeatureModule.apply does. */
export const applyWant = (draft: PodDraft, container: Container, want: Want, applying: Applying): void =>
  draft.atomically(() => moduleOf(want).apply(draft, draft.container(container), want, applying));
/** The want as the annotation's own grammar writes it. */
export const describeWant = (want: Want): string => moduleOf(want).describe(want);
/** The fields by which a feature breaks a Pod Security level. */
export const exposuresOf = (want: Want, draft: PodDraft): readonly Exposure[] => moduleOf(want).exposes(want, draft);
