import type { Finding } from '../../contract/reasons.ts';
import { printable } from '../../contract/text.ts';
import type { AdmissionDecision } from './admission-decision.ts';
import { REVIEW_API_VERSION } from './review.ts';

/**
 * The body of the answer to an AdmissionReview (k8s.io/api/admission/v1 AdmissionResponse). A response has `patch` and `patchType`
 * together or not at all; the API server refuses one without the other.
 */
export function answer(uid: string, decision: AdmissionDecision): string {
  const { denials, patch } = decision;
  const warnings = limitWarnings(decision.warnings);
  return JSON.stringify({
    apiVersion: REVIEW_API_VERSION,
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed: denials.length === 0,
      ...(denials.length > 0 && {
        status: { status: 'Failure', code: 403, reason: 'Forbidden', message: denialMessage(decision) },
      }),
      ...(patch.length > 0 && { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }),
      ...(warnings.length > 0 && { warnings }),
      auditAnnotations: auditAnnotations(decision),
    },
  });
}

/** A pod has a handful of mistakes; what lists hundreds was made to fill logs. */
const MAX_DENIALS = 50;
const MAX_DENIAL_LENGTH = 2_048;

/** What `kubectl` prints after "admission webhook … denied the request:"; all denials, so that one edit can mend them all. */
function denialMessage({ denials }: AdmissionDecision): string {
  const messages = denials.slice(0, MAX_DENIALS).map((finding) => printable(finding.message, MAX_DENIAL_LENGTH));
  const [only] = messages;
  if (messages.length === 1 && only !== undefined) return only;
  const left = denials.length - messages.length;
  return [`${denials.length} problems:`, ...messages, ...(left > 0 ? [`and ${left} more`] : [])].join('\n  - ');
}

/**
 * Keys become `<webhook name>/<key>` in the audit log, so that they must be the name part of a qualified name (apiserver
 * pkg/admission/audit.go, checkKeyFormat).
 */
function auditAnnotations({ outcome, reasons, rules }: AdmissionDecision): Record<string, string> {
  return {
    outcome,
    reasons: reasons.join(','),
    ...(rules.length > 0 && { rules: rules.join(',') }),
  };
}

/** apiserver pkg/endpoints/filters/warning.go: characters of all warnings together; over that, each is cut. */
const MAX_TOTAL = 4_096;
const MAX_EACH = 256;

/**
 * Warnings as the API server passes them on whole: it counts code points, sends all of them while they are 4,096 together, and else
 * cuts each to 256, then drops what is left over, unseen. So where the remedies do not fit, they go; then we cut, and say how many
 * more there are. Most important first.
 */
export function limitWarnings(warnings: readonly Warning[]): string[] {
  const messages = distinct(warnings.map(({ message }) => message));
  if (totalOf(messages) <= MAX_TOTAL) return messages;
  const causes = distinct(warnings.map(({ cause }) => cause));
  if (totalOf(causes) <= MAX_TOTAL) return causes;
  const cut = causes.map((cause) => clipCodePoints(cause, MAX_EACH));
  if (totalOf(cut) <= MAX_TOTAL) return cut;
  const fits = MAX_TOTAL / MAX_EACH - 1;
  return [...cut.slice(0, fits), `${cut.length - fits} more warnings: see the log of the hotmount webhook`];
}

type Warning = Pick<Finding, 'message' | 'cause'>;

const distinct = (texts: readonly string[]): string[] => [
  ...new Set(texts.map((text) => printable(text, MAX_TOTAL + 1))),
];

const totalOf = (messages: readonly string[]): number =>
  messages.reduce((sum, message) => sum + codePoints(message), 0);

const codePoints = (text: string): number => [...text].length;

function clipCodePoints(text: string, max: number): string {
  const points = [...text];
  return points.length <= max ? text : `${points.slice(0, max - 1).join('')}…`;
}
