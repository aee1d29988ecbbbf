import type { Feature } from '../../contract/annotations.ts';
import { type Finding, finding, type Reason, type ReasonParameters } from '../../contract/reasons.ts';
import type { WantOf } from '../../contract/wants.ts';
import type { ContainerDraft, PodDraft } from '../draft.ts';

/** How one feature is given to one container. */
export interface FeatureModule<F extends Feature> {
  /**
   * Adds to the draft what is missing of the want. Throws Conflict where the API server would refuse the result, or it could not work,
   * and ObjectError.
   */
  apply(draft: PodDraft, container: ContainerDraft, want: WantOf<F>, request: Applying): void;
  /** The want as the annotation's own grammar writes it. */
  describe(want: WantOf<F>): string;
  /** The fields by which a container that has it breaks a Pod Security level. */
  exposes(want: WantOf<F>): readonly Exposure[];
}

export interface Applying {
  /** The annotation to name in messages. */
  readonly annotation: string;
  /** The alias path of /dev that this container asks for besides, if any. */
  readonly devPath: string | undefined;
}

/** A field that Pod Security Standards forbid from `level` on; the field in the standards' own notation. */
export interface Exposure {
  readonly level: 'baseline' | 'restricted';
  readonly field: string;
}

/** Why a want cannot be had in this pod. Caught where features are applied; never leaves the core. */
export class Conflict extends Error {
  readonly finding: Finding;
  constructor(conflict: Finding) {
    super(conflict.message);
    this.finding = conflict;
  }
}

export const conflict = <R extends Reason>(reason: R, parameters: ReasonParameters<R>): Conflict =>
  new Conflict(finding(reason, parameters));
