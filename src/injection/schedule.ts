import { PREFIX } from '../contract/annotations.ts';
import type { JsonObject } from '../contract/json.ts';
import { edit } from './edit.ts';
import { objectIn, objectsIn } from './shape.ts';

/** The node's label for a class that has something plugged in; `hotmount node` writes it for node-feature-discovery. */
export const classLabel = (className: string): string => `${PREFIX}${className}`;

const AFFINITY = ['spec', 'affinity', 'nodeAffinity', 'requiredDuringSchedulingIgnoredDuringExecution'] as const;

/**
 * The pod with a node affinity for the classes: the scheduler takes a node where something of each is plugged in. Each of the pod's own terms gets
 * it, as one of them suffices to the scheduler. A pod that names its node, or has the expressions already, stays the same object. Throws ObjectError.
 */
export function withSchedule(pod: JsonObject, classes: readonly string[]): JsonObject {
  const spec = objectIn(pod, 'spec', '') ?? {};
  if (classes.length === 0 || typeof spec['nodeName'] === 'string') return pod;
  const affinity = objectIn(spec, 'affinity', 'spec') ?? {};
  const nodeAffinity = objectIn(affinity, 'nodeAffinity', 'spec.affinity') ?? {};
  const required = objectIn(nodeAffinity, AFFINITY[3], 'spec.affinity.nodeAffinity') ?? {};
  const terms = objectsIn(required, 'nodeSelectorTerms', AFFINITY.join('.'));
  const wanted = (terms.length === 0 ? [{}] : terms).map((term) => withExpressions(term, classes));
  if (terms.length > 0 && wanted.every((term, index) => term === terms[index])) return pod;
  return edit(pod, [...AFFINITY, 'nodeSelectorTerms'], () => wanted);
}

function withExpressions(term: JsonObject, classes: readonly string[]): JsonObject {
  const expressions = objectsIn(term, 'matchExpressions', 'nodeSelectorTerms');
  const has = (key: string) => expressions.some((one) => one['key'] === key);
  const missing = classes.map(classLabel).filter((key) => !has(key));
  if (missing.length === 0) return term;
  const added = missing.map((key) => ({ key, operator: 'In', values: ['true'] }));
  return { ...term, matchExpressions: [...expressions, ...added] };
}
