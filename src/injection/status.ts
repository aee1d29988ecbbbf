import { FEATURES, STATUS } from '../contract/annotations.ts';
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
  const containers = Map.groupBy(entries, ({ container }) => container);
  const status = {
    containers: Object.fromEntries([...containers].map(([name, of]) => [name, featuresOf(of)])),
    rules,
    ...(warnings.length > 0 && { warnings: warnings.map(({ message }) => message) }),
  };
  return edit(pod, ['metadata', 'annotations', STATUS], () => JSON.stringify(status));
}

function featuresOf(entries: readonly Entry[]): Record<string, string> {
  const features = Map.groupBy(entries, ({ feature }) => feature);
  return Object.fromEntries(
    FEATURES.flatMap((feature) => {
      const items = features.get(feature)?.map(({ item }) => item);
      return items ? [[feature, items.join(',')]] : [];
    }),
  );
}
