import type { Feature } from '../../contract/annotations.ts';
import { type Finding, finding, type Reason, type ReasonParameters } from '../../contract/reasons.ts';
import type { WantOf } from '../../contract/wants.ts';
import type { ContainerDraft } from '../container-draft.ts';
import type { PodDraft } from '../pod-draft.ts';

/** How one feature is given to one container. */
export interface FeatureModule<F extends Feature> {
  /**
   * Adds to the draft what is missing of the want. Throws Conflict where the API server would refuse the result, or it could not work,
   * and ObjectError.
   */
  apply(draft: PodDraft, container: ContainerDraft, want: WantOf<F>, applying: Applying): void;
  /** The want as the annotation's own grammar writes it. */
  describe(want: WantOf<F>): string;
  /** The fields by which the feature breaks a Pod Security level: what is added, and what the pod already has. */
  exposes(want: WantOf<F>, draft: PodDraft): readonly Exposure[];
}

export interface Applying {
  /** The annotation to name in messages. */
  readonly annotation: string;
  /** Where the container is to have the node's /dev anyway, if it is. */
  readonly devPath: string | undefined;
}

/** A field that Pod Security Standards forbid from `level` on; the field in the standards' own notation. */
export interface Exposure {
  readonly level: 'baseline' | 'restricted';
  readonly field: string;
}

/**
 * Why this pod cannot have a want. Caught where features are applied; never leaves the core. No Error: a pod can have thousands,
 * and a stack trace costs more than the decision.
 */
export class Conflict {
  readonly finding: Finding;
  /** What it is instead where the policy has the pod keep its own (onConflict: keep). */
  readonly kept: Finding | undefined;
  constructor(conflict: Finding, kept?: Finding) {
    this.finding = conflict;
    this.kept = kept;
  }
}

/** To be thrown. The parameters are those of the reason's sentence and remedy. */
export const conflict = <R extends Reason>(reason: R, parameters: ReasonParameters<R>): Conflict =>
  new Conflict(finding(reason, parameters));
