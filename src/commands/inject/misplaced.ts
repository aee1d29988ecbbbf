import { CONTAINERS, FEATURES, INJECT, PREFIX, SCHEDULE } from '../../contract/annotations.ts';
import { isObject, type Json, type JsonObject } from '../../contract/json.ts';
import type { Path } from './objects.ts';

/** A key that would be an annotation of hotmount, at a place where Kubernetes has none. */
export interface Misplaced {
  /** Of the key, in the object. */
  readonly path: Path;
  readonly message: string;
}

/**
 * What people meant to be annotations, beside the places where there are some: on the object, and on what has metadata below it.
 * @param template the path of the pod template; empty for a pod
 */
export function misplacedIn(object: JsonObject, template: Path): Misplaced[] {
  return ownersAbove(template).flatMap((owner) => {
    const right = [...owner, 'metadata', 'annotations'].join('.');
    const places = [owner, [...owner, 'metadata'], [...owner, 'spec']].flatMap((place) => [
      place,
      ...childrenOf(object, place)
        .filter((name) => name !== 'metadata' && name !== 'spec' && isPlaceFor(name, place.at(-1) === 'metadata'))
        .map((name) => [...place, name]),
    ]);
    return places.flatMap((place) =>
      childrenOf(object, place)
        .filter(isAnnotation)
        .map((key) => ({
          path: [...place, key],
          message: `${key} ${place.length === 0 ? 'at the top' : `at ${place.join('.')}`} is no annotation, and does nothing: move it to ${right}`,
        })),
    );
  });
}

/** The object, a CronJob's jobTemplate, the pod template: what has metadata and a spec. */
const ownersAbove = (template: Path): Path[] => [
  [],
  ...template.flatMap((key, i) => (/template$/i.test(String(key)) ? [template.slice(0, i + 1)] : [])),
];

/** In metadata, whatever else there is; elsewhere, what is called so. Selectors, resources and the like have keys of their own. */
const isPlaceFor = (name: string, inMetadata: boolean): boolean =>
  inMetadata ? name !== 'annotations' : /^(?:an+ot+ations?|labels)$/i.test(name);

/** Also for one container: `hotmount.io/dev.web`. Other keys below the prefix are labels, such as that for defaults. */
const isAnnotation = (key: string): boolean =>
  key.startsWith(PREFIX) && KEYS.has(PREFIX + (key.slice(PREFIX.length).split('.', 1)[0] ?? ''));
const KEYS: ReadonlySet<string> = new Set([...FEATURES.map((name) => PREFIX + name), INJECT, CONTAINERS, SCHEDULE]);

function childrenOf(object: JsonObject, path: Path): string[] {
  const value = path.reduce<Json | undefined>((at, key) => (isObject(at) ? at[key] : undefined), object);
  return isObject(value) ? Object.keys(value) : [];
}
