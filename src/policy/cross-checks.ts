import { isFeature } from '../contract/annotations.ts';
import { isObject } from '../contract/json.ts';
import { didYouMean, quote } from '../contract/suggest.ts';
import { parseValue, type Want } from '../contract/wants.ts';
import type { Path } from './document.ts';
import { allows } from './evaluate.ts';
import { globProblem, matchesGlobs } from './globs.ts';
import { allowSnippet } from './hints.ts';
import { listing, type ShapeProblem } from './messages.ts';
import { FILE_SYSTEM_NAMES, optionProblem } from './mount-options.ts';
import { allowSchema } from './schema.ts';
import { parseSize } from './size.ts';

/**
 * What takes two places of the policy to see. Looks at the text's plain value, whatever its shape: what is not as it should be has been
 * reported elsewhere and is passed over here, so that a reader gets all errors at once.
 */
export function crossCheck(policy: unknown): readonly ShapeProblem[] {
  const mediaClasses = listAt(policy, 'mediaClasses');
  const deviceClasses = listAt(policy, 'deviceClasses');
  const rules = listAt(policy, 'rules');
  const [mediaNames, deviceNames] = [namesOf(mediaClasses), namesOf(deviceClasses)];
  return [
    ...duplicateNames(mediaClasses, ['mediaClasses'], 'media class'),
    ...duplicateNames(deviceClasses, ['deviceClasses'], 'device class'),
    ...duplicateNames(rules, ['rules'], 'rule'),
    ...mediaClasses.flatMap((item, index) => [
      ...wrongOptions(item, ['mediaClasses', index]),
      ...wrongSizes(item, ['mediaClasses', index]),
    ]),
    ...deviceClasses.flatMap((item, index) => wrongSizes(item, ['deviceClasses', index])),
    ...rules.flatMap((rule, index) => [
      ...unknownClasses(rule, ['rules', index], 'media', 'media class', mediaNames),
      ...unknownClasses(rule, ['rules', index], 'devices', 'device class', deviceNames),
      ...forbiddenDefaults(rule, ['rules', index]),
    ]),
  ];
}

function duplicateNames(items: readonly unknown[], path: Path, what: string): readonly ShapeProblem[] {
  const first = new Map<string, number>();
  return items.flatMap((item, index) => {
    const name = valueAt(item, 'name');
    if (typeof name !== 'string') return [];
    const earlier = first.get(name);
    if (earlier === undefined) {
      first.set(name, index);
      return [];
    }
    const message = `there is a ${what} ${quote(name)} already, ${path.join('.')}[${earlier}]`;
    return [{ path: [...path, index, 'name'], message }];
  });
}

function wrongOptions(item: unknown, path: Path): readonly ShapeProblem[] {
  const matches = listAt(item, 'match');
  const fsTypes = FILE_SYSTEM_NAMES.filter((name) => matches.some((match) => mayMatchFileSystem(match, name)));
  return textsAt(valueAt(item, 'mount'), 'options').flatMap(([index, option]) => {
    const problem = optionProblem(option, fsTypes.length > 0 ? fsTypes : FILE_SYSTEM_NAMES);
    if (problem === undefined) return [];
    return [{ path: [...path, 'mount', 'options', index], message: `the mount option ${quote(option)} ${problem}` }];
  });
}

function wrongSizes(item: unknown, path: Path): readonly ShapeProblem[] {
  return listAt(item, 'match').flatMap((match, index) => {
    const [min, max] = [valueAt(match, 'minSize'), valueAt(match, 'maxSize')];
    const [least, most] = [parseSize(min), parseSize(max)];
    if (least === undefined || most === undefined || least <= most) return [];
    const message = `${String(min)} is more than maxSize, ${String(max)}: no disk can match`;
    return [{ path: [...path, 'match', index, 'minSize'], message }];
  });
}

function mayMatchFileSystem(match: unknown, name: string): boolean {
  if (valueAt(match, 'fsType') === undefined) return true;
  const globs = textsAt(match, 'fsType').map(([, glob]) => glob);
  return matchesGlobs(
    globs.filter((glob) => globProblem(glob) === undefined),
    name,
  );
}

function unknownClasses(
  rule: unknown,
  path: Path,
  key: 'media' | 'devices',
  what: string,
  known: readonly string[],
): readonly ShapeProblem[] {
  return textsAt(valueAt(rule, 'allow'), key).flatMap(([index, name]) => {
    if (known.includes(name)) return [];
    const hint =
      didYouMean(name, known.slice(0, 500)) ||
      (known.length > 0 ? `; there is ${listing(known)}` : '; the policy defines none');
    return [{ path: [...path, 'allow', key, index], message: `there is no ${what} ${quote(name)}${hint}` }];
  });
}

/** A default that its own rule does not allow would make every pod it reaches inadmissible. */
function forbiddenDefaults(rule: unknown, path: Path): readonly ShapeProblem[] {
  const allow = allowSchema.safeParse(valueAt(rule, 'allow'));
  const defaults = valueAt(rule, 'defaults');
  if (!allow.success || !isObject(defaults)) return [];
  return Object.entries(defaults).flatMap(([feature, value]) => {
    if (!isFeature(feature) || typeof value !== 'string') return [];
    const parsed = parseValue(feature, value);
    const wants: readonly Want[] = 'wants' in parsed ? parsed.wants : [];
    const refused = wants.find((want) => !allows({ allow: allow.data }, want));
    if (refused === undefined) return [];
    const message = `${quote(value)} is not what this rule itself allows; it would take "${allowSnippet(refused)}"`;
    return [{ path: [...path, 'defaults', feature], message }];
  });
}

const valueAt = (value: unknown, key: string): unknown =>
  isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;

function listAt(value: unknown, key: string): readonly unknown[] {
  const list = valueAt(value, key);
  return Array.isArray(list) ? list : [];
}

const textsAt = (value: unknown, key: string): readonly (readonly [index: number, text: string])[] =>
  listAt(value, key).flatMap((item, index) => (typeof item === 'string' ? [[index, item] as const] : []));

const namesOf = (items: readonly unknown[]): readonly string[] =>
  items.map((item) => valueAt(item, 'name')).filter((name) => typeof name === 'string');
