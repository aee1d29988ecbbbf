import jsonPatch, { type Operation } from 'fast-json-patch';
import type { JsonObject, Labels } from '../../contract/json.ts';
import { type Finding, isDenial, REASONS, type Reason } from '../../contract/reasons.ts';
import type { VolumeKind } from '../../contract/volumes.ts';
import {
  inject,
  judgeAnnotations,
  judgeVolumes,
  misplacedAnnotations,
  mutateWorkload,
  ObjectError,
  type Summary,
  WORKLOAD_KINDS,
} from '../../injection/index.ts';
import type { Policy } from '../../policy/policy.ts';
import { type AdmissionRequest, ReviewError } from './review.ts';

/** Which path was asked: `/mutate/pods`, `/mutate/workloads`, or `/validate/volumes` and `/validate/annotations`, which change nothing. */
export type Target = 'pods' | 'workloads' | 'volumes' | 'annotations';

/** What becomes of one object, and why. */
export interface AdmissionDecision {
  readonly outcome: 'allowed' | 'denied';
  /** The code that decided, the label of the metric. */
  readonly reason: Reason;
  /** All codes, the deciding one first, each once. */
  readonly reasons: readonly Reason[];
  /** Names of the policy rules by which the object has what it has. */
  readonly rules: readonly string[];
  /** The most important first. */
  readonly warnings: readonly Finding[];
  /** Empty where the object is allowed. */
  readonly denials: readonly Finding[];
  /** Empty where nothing changes, and where the object is denied. */
  readonly patch: readonly Operation[];
}

/** What a path takes and what it does. Kinds are `group/kind`: matchPolicy Equivalent converts versions before we are asked. */
interface Mutation {
  readonly kinds: readonly string[];
  readonly operations: readonly string[];
  mutate(object: JsonObject, request: AdmissionRequest, circumstances: Circumstances): Mutated;
}

/** What decides besides the request. */
export interface Circumstances {
  readonly policy: Policy;
  readonly namespaceLabels: Labels | undefined;
  /** How volumes are written. */
  readonly volumes: VolumeKind;
}

interface Mutated {
  readonly object: JsonObject;
  readonly warnings: readonly Finding[];
  readonly denials: readonly Finding[];
  readonly summary: Summary;
}

const MUTATIONS: Record<Target, Mutation> = {
  pods: {
    kinds: ['/Pod'],
    operations: ['CREATE'],
    mutate(object, { namespace }, { policy, ...context }) {
      const { pod, ...result } = inject(object, { namespace, ...context }, policy);
      const warnings = [...result.warnings, ...misplacedAnnotations(object)];
      return { object: pod, ...result, warnings };
    },
  },
  workloads: {
    kinds: WORKLOAD_KINDS,
    operations: ['CREATE', 'UPDATE'],
    mutate(object, request, { policy, ...circumstances }) {
      const operation = request.operation === 'CREATE' ? 'CREATE' : 'UPDATE';
      const context = { namespace: request.namespace, ...circumstances, operation } as const;
      const result = mutateWorkload(object, context, policy);
      return { ...result, warnings: [...result.warnings, ...misplacedAnnotations(object)], denials: [] };
    },
  },
  volumes: {
    kinds: ['/Pod'],
    operations: ['CREATE'],
    mutate(object, { namespace }, { policy, namespaceLabels }) {
      const denials = judgeVolumes(object, { namespace, namespaceLabels }, policy);
      return { object, warnings: [], denials, summary: { outcome: 'volumes_allowed', entries: [], rules: [] } };
    },
  },
  annotations: {
    kinds: ['/Pod'],
    operations: ['UPDATE'],
    mutate(object, { namespace, oldObject }, { policy, namespaceLabels }) {
      const findings = judgeAnnotations(object, oldObject, { namespace, namespaceLabels }, policy);
      const denies = ({ reason }: Finding) => isDenial(reason, policy.onViolation);
      return {
        object,
        warnings: findings.filter((found) => !denies(found)),
        denials: findings.filter(denies),
        summary: { outcome: 'annotations_judged', entries: [], rules: [] },
      };
    },
  },
};

/**
 * Decides on one admission request. Pure: a dry run is decided like any other, and nothing happens outside the answer.
 *
 * What a path has nothing to do with is allowed, with the reason: a webhook configuration that matches too much must not break a
 * cluster. Throws ReviewError where the object is missing or is not what its kind says, and NamespaceLabelsUnknownError where the
 * policy depends on labels that are not known.
 */
export function decideAdmission(
  target: Target,
  request: AdmissionRequest,
  circumstances: Circumstances,
): AdmissionDecision {
  const { kinds, operations, mutate } = MUTATIONS[target];
  const { kind, operation, subResource, object } = request;
  if (!kinds.includes(`${kind.group}/${kind.kind}`)) return untouched('unexpected_kind');
  if (subResource !== '' || !operations.includes(operation)) return untouched('unexpected_operation');
  if (!object) throw new ReviewError('object_missing', `a ${operation} of a ${kind.kind} should have one`);
  try {
    return decision(object, mutate(object, request, circumstances));
  } catch (error) {
    if (error instanceof ObjectError) throw new ReviewError('object_invalid', error.message);
    throw error;
  }
}

function decision(original: JsonObject, { object, warnings, denials, summary }: Mutated): AdmissionDecision {
  const denied = denials.length > 0;
  const first = denied ? denials : [{ reason: summary.outcome }];
  const reasons = [...new Set([...first, ...warnings].map(({ reason }) => reason))];
  return {
    outcome: denied ? 'denied' : 'allowed',
    reason: reasons[0] ?? summary.outcome,
    reasons,
    rules: summary.rules,
    warnings: byImportance(warnings),
    denials,
    patch: denied || object === original ? [] : jsonPatch.compare(original, object),
  };
}

/** What the pod does not get comes before what its user should know. */
const byImportance = (findings: readonly Finding[]): readonly Finding[] =>
  findings.length < 2
    ? findings
    : [...findings].sort((a, b) => Number(isNotice(a.reason)) - Number(isNotice(b.reason)));

const isNotice = (reason: Reason): boolean => REASONS[reason].kind === 'warning';

function untouched(reason: Reason): AdmissionDecision {
  return { outcome: 'allowed', reason, reasons: [reason], rules: [], warnings: [], denials: [], patch: [] };
}
