import type { Json, JsonObject, Labels } from '../contract/json.ts';
import { isObject } from '../contract/json.ts';
import { quote } from '../contract/suggest.ts';

/**
 * The object is not what Kubernetes would accept where hotmount has to read it. The message names the field.
 * Only manifests from files meet this: the API server has decoded what it sends to a webhook.
 */
export class ObjectError extends Error {
  override name = 'ObjectError';
  readonly #field: string;
  readonly #expected: string;
  readonly #found: unknown;
  constructor(field: string, expected: string, found: unknown) {
    super(`${field}: expected ${expected}, found ${quote(found)}`);
    this.#field = field;
    this.#expected = expected;
    this.#found = found;
  }

  /** The same of an object that lies in another, in the field `parent`. */
  in(parent: string): ObjectError {
    return new ObjectError(join(parent, this.#field), this.#expected, this.#found);
  }
}

/** The object in a field; absent and null are the same to Kubernetes: undefined. Throws ObjectError. */
export function objectIn(parent: JsonObject, key: string, parentField: string): JsonObject | undefined {
  const value = parent[key] ?? undefined;
  if (value === undefined || isObject(value)) return value;
  throw new ObjectError(join(parentField, key), 'an object', value);
}

/** The list of objects in a field, empty where it is absent. Throws ObjectError. */
export function objectsIn(parent: JsonObject, key: string, parentField: string): readonly JsonObject[] {
  return listIn(parent, key, parentField).map((item, i) => {
    if (isObject(item)) return item;
    throw new ObjectError(`${join(parentField, key)}[${i}]`, 'an object', item);
  });
}

/** The strings of a list field, empty where it is absent. Throws ObjectError. */
export function stringsIn(parent: JsonObject, key: string, parentField: string): readonly string[] {
  return listIn(parent, key, parentField).map((item, i) => {
    if (typeof item === 'string') return item;
    throw new ObjectError(`${join(parentField, key)}[${i}]`, 'a string', item);
  });
}

/** The string in a field, undefined where it is absent or empty, as Go reads it. Throws ObjectError. */
export function stringIn(parent: JsonObject, key: string, parentField: string): string | undefined {
  const value = parent[key] ?? '';
  if (typeof value === 'string') return value || undefined;
  throw new ObjectError(join(parentField, key), 'a string', value);
}

/** Labels; what is not a string is left out: it cannot match anything. Throws ObjectError. */
export function labelsIn(parent: JsonObject, key: string, parentField: string): Labels {
  const entries = Object.entries(objectIn(parent, key, parentField) ?? {});
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

function listIn(parent: JsonObject, key: string, parentField: string): readonly Json[] {
  const value = parent[key] ?? [];
  if (Array.isArray(value)) return value;
  throw new ObjectError(join(parentField, key), 'a list', value);
}

const join = (parent: string, key: string): string => (parent === '' ? key : `${parent}.${key}`);
