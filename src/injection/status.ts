import { STATUS } from '../contract/annotations.ts';
import type { JsonObject } from '../contract/json.ts';
import type { Finding } from '../contract/reasons.ts';
import { edit, without } from './edit.ts';
import type { Entry } from './grant.ts';
import { objectIn } from './shape.ts';

/**
 * The pod with the status annotation. It describes the outcome, not the difference made: a second pass writes the same. Each feature's
 * value is written as the annotation's own grammar would.
 */
export function withStatus(
  pod: JsonObject,
  entries: readonly Entry[],
  rules: readonly string[],
  warnings: readonly Finding[],
): JsonObject {
  const containers: Record<string, Record<string, string>> = Object.create(null);
  for (const { container, feature, item } of entries) {
    const features = containers[container] ?? {};
    containers[container] = features;
    features[feature] = features[feature] === undefined ? item : `${features[feature]},${item}`;
  }
  const said = warnings.slice(0, MAX_WARNINGS).map(({ message }) => message);
  const status = JSON.stringify({ containers, rules, ...(said.length > 0 && { warnings: said }) });
  // All annotations of an object together may have 256 KiB; what the pod has does not depend on what can be told of it.
  const text = status.length <= MAX_LENGTH ? status : JSON.stringify({ truncated: true, rules });
  return edit(pod, ANNOTATION, () => text);
}

/** The pod without it; the very same where it has none. */
export function withoutStatus(pod: JsonObject): JsonObject {
  const annotations = objectIn(objectIn(pod, 'metadata', '') ?? {}, 'annotations', 'metadata');
  return annotations && Object.hasOwn(annotations, STATUS)
    ? edit(pod, ANNOTATION.slice(0, -1), () => without(annotations, STATUS))
    : pod;
}

const ANNOTATION = ['metadata', 'annotations', STATUS];
const MAX_WARNINGS = 20;
const MAX_LENGTH = 65_536;
