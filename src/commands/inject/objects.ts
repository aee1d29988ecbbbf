import { isMap, isNode, isScalar, type Node } from 'yaml';
import { isObject, type Json, type JsonObject, type Labels } from '../../contract/json.ts';
import { WORKLOAD_KINDS } from '../../injection/index.ts';
import { type Manifest, placeOf } from './manifests.ts';

export type Path = readonly (string | number)[];

/**
 * The value with each object in it changed: the value itself, or what a List holds, however deep. Shares everything that stays the same.
 * The items of typed lists (PodList) may lack `kind`, which `change` gets to see all the same. What is no object in a list stays, and is
 * told to `odd`, by its path.
 */
export function mapObjects(
  value: JsonObject,
  change: (object: JsonObject, path: Path) => JsonObject,
  odd: (value: Json, path: Path) => void = () => {},
  path: Path = [],
): JsonObject {
  if (!isList(value)) return change(value, path);
  const items = value['items'] ?? [];
  if (!Array.isArray(items)) {
    odd(items, [...path, 'items']);
    return value;
  }
  const after = (items as readonly Json[]).map((item, i) => {
    const at = [...path, 'items', i];
    if (!isObject(item)) {
      odd(item, at);
      return item;
    }
    const typed = withKind(item, value);
    const changed = mapObjects(typed, change, odd, at);
    return changed === typed ? item : withoutAdded(changed, item);
  });
  return after.every((item, i) => item === items[i]) ? value : { ...value, items: after };
}

/** All objects in a value, lists opened. */
export function objectsIn(value: JsonObject): JsonObject[] {
  const objects: JsonObject[] = [];
  mapObjects(value, (object) => {
    objects.push(object);
    return object;
  });
  return objects;
}

/** A custom resource may be called AllowList: besides `List`, a list is what has nothing but objects in `items`. */
function isList({ apiVersion, kind, items }: JsonObject): boolean {
  if (typeof kind !== 'string' || !kind.endsWith('List')) return false;
  const group = String(apiVersion).split('/')[0];
  const isKnown = KNOWN_LISTS.has(group === 'v1' ? kind : `${group}/${kind}`);
  return isKnown || (Array.isArray(items) && items.every(isObject));
}

const KNOWN_LISTS = new Set(['List', 'PodList', ...WORKLOAD_KINDS.map((kind) => `${kind}List`)]);

function withKind(item: JsonObject, list: JsonObject): JsonObject {
  if (item['kind'] !== undefined || list['kind'] === 'List') return item;
  return { apiVersion: list['apiVersion'], ...item, kind: String(list['kind']).slice(0, -'List'.length) };
}

function withoutAdded(changed: JsonObject, item: JsonObject): JsonObject {
  const isAdded = (key: string) => (key === 'kind' || key === 'apiVersion') && !Object.hasOwn(item, key);
  return Object.fromEntries(Object.entries(changed).filter(([key]) => !isAdded(key)));
}

/** What an object is called, whatever is wrong with it. */
export interface Identity {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** What to call an object, whatever is missing of it. `namespace` wins over its own. */
export function identify(object: JsonObject, namespace: string | undefined): Identity {
  const { metadata } = object;
  const { name, generateName, namespace: own } = isObject(metadata) ? metadata : {};
  return {
    apiVersion: text(object['apiVersion']) ?? '(no apiVersion)',
    kind: text(object['kind']) ?? '(no kind)',
    namespace: namespace ?? text(own) ?? 'default',
    name: text(name) ?? (text(generateName) ? `${text(generateName)}*` : '(no name)'),
  };
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

/** The labels of the namespaces that are themselves among the objects, by name. */
export function namespaceLabelsIn(objects: readonly JsonObject[]): ReadonlyMap<string, Labels> {
  const namespaces = objects.filter(({ apiVersion, kind }) => apiVersion === 'v1' && kind === 'Namespace');
  return new Map(namespaces.map((object) => [identify(object, undefined).name, labelsOf(object)]));
}

function labelsOf({ metadata }: JsonObject): Labels {
  const labels = isObject(metadata) && isObject(metadata['labels']) ? metadata['labels'] : {};
  return Object.fromEntries(
    Object.entries(labels).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** Where people write annotations: on the object, on a pod template, in a CronJob. */
const ANNOTATIONS: readonly Path[] = [
  ['metadata', 'annotations'],
  ['spec', 'template', 'metadata', 'annotations'],
  ['spec', 'jobTemplate', 'metadata', 'annotations'],
  ['spec', 'jobTemplate', 'spec', 'template', 'metadata', 'annotations'],
];

/** The keys of all annotations that people have written on an object. */
export function annotationKeys(object: JsonObject): string[] {
  return ANNOTATIONS.flatMap((path) => {
    const annotations = path.reduce<Json | undefined>(
      (value, key) => (isObject(value) ? value[key] : undefined),
      object,
    );
    return isObject(annotations) ? Object.keys(annotations) : [];
  });
}

/** `FILE:LINE:COLUMN` of an object, or of the annotation that the message names. */
export function locate(manifest: Manifest, path: Path, message: string): string {
  const { root, base } = manifest.tree();
  const object = descend(root, path) ?? root;
  const keys = ANNOTATIONS.flatMap((annotations) => {
    const map = descend(object, annotations);
    return isMap(map) ? map.items.map(({ key }) => key).filter(isScalar) : [];
  });
  const named = keys.filter(({ value }) => typeof value === 'string' && value !== '' && message.includes(value));
  const key = named.toSorted((a, b) => String(b.value).length - String(a.value).length)[0];
  const start = (key ?? object)?.range?.[0];
  return placeOf(manifest.source, manifest.offset + (start === undefined ? 0 : start - base));
}

/** `FILE:LINE:COLUMN` of a key in an object. */
export function locateKey(manifest: Manifest, object: Path, key: Path): string {
  const { root, base } = manifest.tree();
  const map = descend(root, [...object, ...key.slice(0, -1)]);
  const pair = isMap(map) && map.items.find((item) => isScalar(item.key) && item.key.value === key.at(-1));
  const start = pair && isScalar(pair.key) ? pair.key.range?.[0] : undefined;
  if (start === undefined) return locate(manifest, object, '');
  return placeOf(manifest.source, manifest.offset + start - base);
}

function descend(node: Node | null, path: Path): Node | null {
  return path.reduce<Node | null>((at, key) => {
    const child = at && 'get' in at && typeof at.get === 'function' ? (at.get(key, true) as unknown) : null;
    return isNode(child) ? child : null;
  }, node);
}
