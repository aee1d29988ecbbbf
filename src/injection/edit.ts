import type { Json, JsonObject } from '../contract/json.ts';

export type Path = readonly (string | number)[];

/**
 * The tree with the value at `path` replaced by `change(value)`, sharing everything else with the old one; the very same tree where
 * nothing changes. Objects that are missing on the way (or null, which is the same to Kubernetes) are made.
 */
export function edit<T extends JsonObject>(tree: T, path: Path, change: (old: Json | undefined) => Json): T {
  return editAt(tree, path, change) as T;
}

function editAt(node: Json | undefined, path: Path, change: (old: Json | undefined) => Json): Json {
  const [key, ...rest] = path;
  if (key === undefined) return change(node);
  if (typeof key === 'number') {
    const list = (node ?? []) as readonly Json[];
    const item = editAt(list[key], rest, change);
    return item === list[key] ? list : list.with(key, item);
  }
  const object = (node ?? {}) as JsonObject;
  const value = editAt(object[key], rest, change);
  return value === object[key] ? object : { ...object, [key]: value };
}

/** The tree with `items` after those of the list at `path`. */
export function append<T extends JsonObject>(tree: T, path: Path, ...items: readonly Json[]): T {
  return edit(tree, path, (list) => [...((list ?? []) as readonly Json[]), ...items]);
}

/** The object without a key; the very same object where it has none. */
export function without<T extends JsonObject>(object: T, key: string): T {
  if (!Object.hasOwn(object, key)) return object;
  const { [key]: _, ...rest } = object;
  return rest as T;
}
