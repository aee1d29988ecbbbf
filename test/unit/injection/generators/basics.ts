import fc from 'fast-check';
import type { Json, JsonObject } from '../../../../src/contract/json.ts';

export const pick = <const T>(...items: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...items);
/** The field mostly absent, sometimes null (the same to Kubernetes), else as generated. */
export const field = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null | undefined> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constant(null) },
    { weight: 5, arbitrary },
  );

/** An object with only those keys that have a value. */
export const object = (fields: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<JsonObject> =>
  fc.record(fields).map((record) => {
    const entries = Object.entries(record).filter(([, value]) => value !== undefined);
    return Object.fromEntries(entries) as JsonObject;
  });

export const seldom = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 20, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

/** Names come from small pools, so that what a pod has, what it asks for and what a policy allows meet each other often. */
export const MEDIA = ['usb', 'sd'];
export const DEVICES = ['serial', 'disk'];
export const CONTAINERS = ['app', 'db', 'proxy', 'setup', '__proto__', 'constructor'];
export const VOLUMES = ['data', 'cache', 'host', 'block'];

/** What nobody writes by accident. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
  pick(
    '',
    ' ',
    ',',
    ',,',
    '__proto__',
    'constructor',
    'toString',
    '🔌',
    '\u0000',
    'a\nb',
    '\u001b[31m',
    '\u202e',
    '\ud83d',
    '$&',
    '{what}',
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.integer({ min: 60, max: 20_000 }).map((length) => 'x'.repeat(length)),
  fc.integer({ min: 60, max: 300 }).map((count) => 'true,'.repeat(count)),
);

/** Any JSON, with keys that other programs trip over. */
export const anyJson: fc.Arbitrary<Json> = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(fc.constant(null), fc.boolean(), fc.double({ noNaN: true, noDefaultInfinity: true }), hostileText),
    fc.array(tie('json'), { maxLength: 3 }),
    fc.dictionary(
      pick(
        'name',
        'toString',
        'valueOf',
        'toJSON',
        '__proto__',
        'constructor',
        'length',
        'add',
        'path',
        'annotations',
        'hotmount.io/lxcfs',
      ),
      tie('json'),
      { maxKeys: 4, noNullPrototype: true },
    ) as fc.Arbitrary<Json>,
  ),
})).json;

/** The object with the value at one path, chosen among all it has, replaced by anything. */
export const damaged = (objects: fc.Arbitrary<JsonObject>): fc.Arbitrary<JsonObject> =>
  fc.tuple(objects, fc.array(fc.tuple(fc.nat(), anyJson), { minLength: 1, maxLength: 2 })).map(([object, damages]) =>
    damages.reduce((whole, [seed, value]) => {
      const places = placesIn(whole);
      return replaceAt(whole, places[seed % places.length] ?? [], value) as JsonObject;
    }, object),
  );

type Path = readonly (string | number)[];

function placesIn(value: Json | undefined, path: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return path.length > 0 ? [path] : [];
  const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  const below = keys.flatMap((key) => placesIn((value as JsonObject)[key], [...path, key]));
  return path.length > 0 ? [path, ...below] : below;
}

function replaceAt(whole: Json | undefined, [key, ...rest]: Path, value: Json): Json {
  if (key === undefined) return value;
  if (Array.isArray(whole))
    return (whole as readonly Json[]).with(key as number, replaceAt(whole[key as number], rest, value));
  const object = whole as JsonObject;
  return { ...object, [key]: replaceAt(object[key], rest, value) };
}
