import { lint, POLICY_KEY, PolicyError, parsePolicy } from '../../policy/index.ts';
import { limitWarnings } from './answer.ts';
import { type AdmissionRequest, REVIEW_API_VERSION } from './review.ts';

export interface PolicyVerdict {
  readonly outcome: 'allowed' | 'denied';
  /** The metric's label. */
  readonly reason: 'policy_valid' | 'policy_invalid' | 'unexpected_kind';
  /** Empty where it is allowed. */
  readonly message: string;
  /** Valid, and hardly what was meant. */
  readonly warnings: readonly string[];
}

/** Judges the policy in a ConfigMap that somebody is about to save. Never throws for what they wrote. */
export function judgePolicy({ kind, object }: AdmissionRequest): PolicyVerdict {
  if (kind.kind !== 'ConfigMap' || kind.group !== '' || !object) return verdict('unexpected_kind');
  const data = object['data'];
  const text = (data as Record<string, unknown> | null | undefined)?.[POLICY_KEY];
  if (typeof text !== 'string') {
    return verdict('policy_invalid', `the policy's ConfigMap needs a text under data["${POLICY_KEY}"]`);
  }
  try {
    return verdict('policy_valid', '', lint(parsePolicy(text, { file: POLICY_KEY })));
  } catch (error) {
    if (error instanceof PolicyError) return verdict('policy_invalid', error.message);
    throw error;
  }
}

/** The body of the answer. */
export function answerPolicy(uid: string, { outcome, reason, message, warnings }: PolicyVerdict): string {
  const limited = limitWarnings(warnings.map((warning) => ({ message: warning, cause: warning })));
  return JSON.stringify({
    apiVersion: REVIEW_API_VERSION,
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed: outcome === 'allowed',
      ...(outcome === 'denied' && { status: { status: 'Failure', code: 422, reason: 'Invalid', message } }),
      ...(limited.length > 0 && { warnings: limited }),
      auditAnnotations: { outcome, reasons: reason },
    },
  });
}

const verdict = (reason: PolicyVerdict['reason'], message = '', warnings: readonly string[] = []): PolicyVerdict => ({
  outcome: reason === 'policy_invalid' ? 'denied' : 'allowed',
  reason,
  message,
  warnings,
});
