import { STATUS } from '../contract/annotations.ts';
import type { JsonObject } from '../contract/json.ts';
import type { Finding } from '../contract/reasons.ts';
import { edit } from './edit.ts';
import type { Entry } from './inject.ts';

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
  const messages = warnings.length > 0 ? { warnings: warnings.map(({ message }) => message) } : {};
  return edit(pod, ['metadata', 'annotations', STATUS], () => JSON.stringify({ containers, rules, ...messages }));
}
