/**
 * When which certificate is renewed. Pure: what is there and what time it is in, one step out.
 *
 * A CA is replaced in the order that lets every API server verify every replica at any time: the new one is *introduced* into the
 * caBundle beside the old one; after an overlap, for no API tells what each API server has loaded, it is *promoted* and signs the leaf;
 * after another, in which replicas that still serve the old leaf learn of the new one, the old CA is *pruned*.
 */

/** In milliseconds since 1970, like all times here. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface Since {
  /** When it came to be what it is, by the clock of whichever replica wrote it. */
  readonly since: number;
}

/** What is in the Secret, as far as the plan depends on it. Something that cannot be read at all is not there. */
export interface CertificateState {
  readonly ca: Validity | undefined;
  readonly next: (Validity & Since) | undefined;
  readonly old: Since | undefined;
  readonly leaf: (Validity & { readonly signedByCa: boolean; readonly namesMatch: boolean }) | undefined;
  /** What somebody asked to have renewed now. */
  readonly rotate: 'ca' | 'leaf' | undefined;
}

export type Step =
  /** A new CA at once, without an overlap: there is none that works. And a leaf of it. */
  | 'replace_ca'
  | 'introduce_next_ca'
  /** The next CA's time is counted anew from now. */
  | 'restart_overlap'
  /** The next CA becomes the CA and signs a leaf; the CA becomes the old one. */
  | 'promote_next_ca'
  | 'prune_old_ca'
  /** The old CA's time is counted anew from now. */
  | 'restart_pruning'
  | 'renew_leaf';

export interface PlanContext {
  readonly now: number;
  /** How long both CAs stay in the caBundle before the next thing happens. */
  readonly overlapMs: number;
  /** Whether every caBundle holds the next CA. */
  readonly nextIsTrusted: boolean;
}

/** Renewed when a third of the time is left: enough for a person to come and see why it was not. */
const RENEW_WITH_LEFT = 1 / 3;

/** The next thing to do; undefined where everything is as it should be. Terminates: each step leads to one nearer to that. */
export function nextStep(state: CertificateState, { now, overlapMs, nextIsTrusted }: PlanContext): Step | undefined {
  const { ca, next, old, leaf, rotate } = state;
  if (!usable(ca, now)) return usable(next, now) ? 'promote_next_ca' : 'replace_ca';
  if (!usable(leaf, now) || !leaf.signedByCa || !leaf.namesMatch) return 'renew_leaf';
  if (next) {
    // A clock that was ahead wrote it, or the caBundle has been changed by hand.
    if (next.since > now || (now - next.since >= overlapMs && !nextIsTrusted)) return 'restart_overlap';
    if (!usable(next, now)) return 'introduce_next_ca';
    if (now - next.since >= overlapMs) return 'promote_next_ca';
  }
  if (old) {
    if (old.since > now) return 'restart_pruning';
    if (now - old.since >= overlapMs) return 'prune_old_ca';
  }
  if (!next && !old && (rotate === 'ca' || dueForRenewal(ca, now))) return 'introduce_next_ca';
  if (rotate === 'leaf' || dueForRenewal(leaf, now)) return 'renew_leaf';
  return undefined;
}

/** A certificate from the future was made by a clock that was ahead: whoever has the right time refuses it. */
export function usable(validity: Validity | undefined, now: number): validity is Validity {
  return validity !== undefined && validity.notBefore <= now && now < validity.notAfter;
}

const dueForRenewal = ({ notBefore, notAfter }: Validity, now: number): boolean =>
  notAfter - now < (notAfter - notBefore) * RENEW_WITH_LEFT;
