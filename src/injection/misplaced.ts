import { CONTAINERS, FEATURES, INJECT, PREFIX, SCHEDULE } from '../contract/annotations.ts';
import { isObject, type Json, type JsonObject } from '../contract/json.ts';
import { type Finding, finding } from '../contract/reasons.ts';
import { quote } from '../contract/suggest.ts';
import { templatePath } from './workload.ts';

/** More are not told: warnings of the API server have little room. */
const MAX_TOLD = 5;

/**
 * What was meant as annotations of a pod or a workload and does nothing: labels, and keys in the wrong case. Kubernetes has dropped what stood
 * at other wrong places before a webhook sees the object. Pure.
 */
export function misplacedAnnotations(object: JsonObject): readonly Finding[] {
  const template = templatePath(object) ?? [];
  const owners = [
    [],
    ...template.flatMap((key, i) => (/template$/i.test(String(key)) ? [template.slice(0, i + 1)] : [])),
  ];
  const found = owners.flatMap((owner) => {
    const metadata = [...owner, 'metadata'];
    const right = [...metadata, 'annotations'].join('.');
    return ['labels', 'annotations'].flatMap((name) =>
      keysAt(object, [...metadata, name])
        .filter((key) => isMeant(key.toLowerCase()) && (name === 'labels' || !key.startsWith(PREFIX)))
        .map((key) =>
          finding('annotation_misplaced', {
            annotation: quote(key),
            place: [...metadata, name].join('.'),
            right: `${key.toLowerCase()} in ${right}`,
          }),
        ),
    );
  });
  return found.slice(0, MAX_TOLD);
}

/** Also for one container: `hotmount.io/dev.web`. Others below the prefix are labels, such as that for defaults. */
const isMeant = (key: string): boolean =>
  key.startsWith(PREFIX) && KEYS.has(PREFIX + (key.slice(PREFIX.length).split('.', 1)[0] ?? ''));
const KEYS: ReadonlySet<string> = new Set([...FEATURES.map((name) => PREFIX + name), INJECT, CONTAINERS, SCHEDULE]);

function keysAt(object: JsonObject, path: readonly (string | number)[]): string[] {
  const value = path.reduce<Json | undefined>((at, key) => (isObject(at) ? at[key] : undefined), object);
  return isObject(value) ? Object.keys(value) : [];
}
