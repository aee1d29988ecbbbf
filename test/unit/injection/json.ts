import { isObject, type Json, type JsonObject } from '../../../src/contract/json.ts';

/** What tests say about JSON trees, independent of how the core edits them. */

export type Path = readonly (string | number)[];

export interface Change {
  readonly path: Path;
  /** undefined: there was nothing. */
  readonly before: Json | undefined;
  /** undefined: it is gone. */
  readonly after: Json | undefined;
}

/** Every leaf that differs. Null counts as an empty object or list where one has taken its place, as it does to Kubernetes. */
export function changes(before: Json | undefined, after: Json | undefined, path: Path = []): readonly Change[] {
  if (before === after) return [];
  if (Array.isArray(after) && (Array.isArray(before) || (before ?? null) === null)) {
    const old: readonly Json[] = Array.isArray(before) ? before : [];
    const length = Math.max(old.length, after.length);
    return Array.from({ length }, (_, i) => i).flatMap((i) =>
      i < old.length
        ? changes(old[i], after[i], [...path, i])
        : [{ path: [...path, i], before: undefined, after: after[i] }],
    );
  }
  if (isObject(after) && (isObject(before) || (before ?? null) === null)) {
    const old: JsonObject = isObject(before) ? before : {};
    const keys = new Set([...Object.keys(old), ...Object.keys(after)]);
    return [...keys].flatMap((key) => changes(own(old, key), own(after, key), [...path, key]));
  }
  return [{ path, before, after }];
}

/** The paths of subtrees that are equal on both sides and yet another object. */
export function copies(before: Json | undefined, after: Json | undefined, path: Path = []): readonly string[] {
  if (before === after || typeof before !== 'object' || typeof after !== 'object' || !before || !after) return [];
  if (JSON.stringify(before) === JSON.stringify(after)) return [path.join('.')];
  return Object.keys(before).flatMap((key) =>
    copies(own(before as JsonObject, key), own(after as JsonObject, key), [...path, key]),
  );
}

export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const key of Reflect.ownKeys(value)) deepFreeze((value as Record<PropertyKey, unknown>)[key]);
  return value;
}

/** Whether every field of `part` is in `whole`, at any depth. */
export const contains = (whole: unknown, part: unknown): boolean => {
  if (Array.isArray(part)) return Array.isArray(whole) && part.every((item, index) => contains(whole[index], item));
  if (!isObject(part)) return whole === part;
  return isObject(whole) && Object.entries(part).every(([key, value]) => contains(own(whole, key), value));
};

/** As it goes over the wire. */
export const wire = <T>(value: T): T => JSON.parse(JSON.stringify(value));

const own = (object: JsonObject, key: string): Json | undefined =>
  Object.hasOwn(object, key) ? object[key] : undefined;
