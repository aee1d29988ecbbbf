import { isObject, type Json, type JsonObject } from '../../contract/json.ts';
import type { Finding } from '../../contract/reasons.ts';
import { printable } from '../../contract/text.ts';
import type { Logger } from '../../observability/logger.ts';
import type { HttpProblem } from '../server/http-errors.ts';
import type { AdmissionDecision } from './admission-decision.ts';
import { limitWarnings } from './answer.ts';
import type { AdmissionRequest } from './review.ts';

/** Kubernetes names have 253 characters at most; what is longer was made up. */
const MAX_NAME = 253;
const MAX_MESSAGE = 1_024;

/**
 * The one log line of a decision. It names the object and the reasons, and holds nothing of the object beyond what the reasons'
 * messages say: no environment, no annotations.
 */
export function logDecision(
  log: Logger,
  request: AdmissionRequest,
  decision: AdmissionDecision,
  milliseconds: number,
): void {
  if (!log.isLevelEnabled('info')) return;
  log.info(
    {
      ...identify(request),
      outcome: decision.outcome,
      reason: decision.reason,
      reasons: decision.reasons,
      rules: decision.rules,
      ...messages('denials', decision.denials),
      ...messages('warnings', decision.warnings),
      ms: Math.round(milliseconds * 1000) / 1000,
    },
    'decided',
  );
}

/** The one log line of a request that got no decision. `request` is what could be read of it. */
export function logProblem(
  log: Logger,
  problem: HttpProblem,
  at: { readonly url: string; readonly from: string },
  request: AdmissionRequest | undefined,
  error: unknown,
): void {
  const fields = {
    ...(request && identify(request)),
    path: printable(at.url, MAX_NAME),
    from: at.from,
    code: problem.code,
    reason: problem.reason,
  };
  const message = `request refused: ${printable(problem.message, MAX_MESSAGE)}`;
  if (problem.code < 500) log.warn(fields, message);
  else log.error(problem.reason === 'internal_error' ? { ...fields, err: error } : fields, message);
}

function identify(request: AdmissionRequest): Record<string, unknown> {
  const metadata = objectAt(request.object, 'metadata');
  const name = request.name || textAt(metadata, 'name');
  const owner = ownerOf(metadata);
  return {
    uid: printable(request.uid, MAX_NAME),
    operation: printable(request.operation, MAX_NAME),
    kind: printable(request.kind.kind, MAX_NAME),
    namespace: printable(request.namespace, MAX_NAME),
    ...(name
      ? { name: printable(name, MAX_NAME) }
      : { generateName: printable(textAt(metadata, 'generateName'), MAX_NAME) }),
    ...(owner && { owner }),
    ...(request.dryRun && { dryRun: true }),
  };
}

/** `ReplicaSet/web-5d9c`: the controller where there is one, or else the first owner. */
function ownerOf(metadata: JsonObject | undefined): string | undefined {
  const references = metadata?.['ownerReferences'];
  if (!Array.isArray(references)) return undefined;
  const owners = (references as readonly Json[]).filter(isObject);
  const owner = owners.find((reference) => reference['controller'] === true) ?? owners[0];
  return owner && printable(`${textAt(owner, 'kind')}/${textAt(owner, 'name')}`, MAX_NAME);
}

/** No more of them than the API server would show. */
const messages = (key: string, findings: readonly Finding[]) =>
  findings.length > 0 ? { [key]: limitWarnings(findings) } : undefined;

function objectAt(parent: JsonObject | undefined, key: string): JsonObject | undefined {
  const value = parent?.[key];
  return isObject(value) ? value : undefined;
}

function textAt(parent: JsonObject | undefined, key: string): string {
  const value = parent?.[key];
  return typeof value === 'string' ? value : '';
}
