import type * as z from 'zod';
import { didYouMean, quote } from '../contract/suggest.ts';
import { enumerate } from '../contract/text.ts';
import type { Path } from './document.ts';

export interface ShapeProblem {
  readonly path: Path;
  readonly message: string;
  /** Where it is the key that is wrong, not what it has. */
  readonly at?: 'key';
}

type RawIssue = z.core.$ZodRawIssue;
type Issue = z.core.$ZodIssue;

/** zod's issues, in words for the person who wrote the YAML: what is allowed, and what was found. Given to zod as its error map. */
export function describe(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) return `is missing; expected ${expected(issue.expected)}`;
      return `expected ${expected(issue.expected)}, found ${found(issue.input)}${remedy(issue.expected, issue.input)}`;
    case 'invalid_value': {
      const allowed = issue.values.map(String);
      if (issue.input === undefined) return `is missing; expected ${allowed.join(' or ')}`;
      const hint = typeof issue.input === 'string' ? didYouMean(issue.input, allowed) : '';
      return `expected ${enumerate(allowed, 'or')}, found ${found(issue.input)}${hint}`;
    }
    case 'too_small':
      if (Array.isArray(issue.input)) return 'is empty; expected at least one item';
      return `expected at least ${issue.minimum}, found ${found(issue.input)}`;
    case 'too_big':
      return `expected at most ${issue.maximum}, found ${found(issue.input)}`;
    // The keys that there are, for `flatten` to make one message a key of: an issue has no way back to its schema.
    case 'unrecognized_keys':
      return keysOf(issue).join(' ');
    default:
      return undefined;
  }
}

/** The problems that one issue stands for: of a union those of the alternative that was meant; of unknown keys one each. */
export function flatten(issue: Issue, above: Path = []): readonly ShapeProblem[] {
  const path = [...above, ...issue.path];
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = issue.message.split(' ');
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: `there is no such key${otherwiseNamed(key, known) || didYouMean(key, known) || `; the keys here are ${listing(known)}`}`,
        at: 'key',
      }));
    }
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ path, message, at: 'key' }));
    case 'invalid_union': {
      const meant = issue.errors.find(
        (errors) => !errors.some((e) => e.code === 'invalid_type' && e.path.length === 0),
      );
      if (meant !== undefined) return meant.flatMap((inner) => flatten(inner, path));
      return [{ path, message: `${issue.message}, found ${found(issue.input)}` }];
    }
    default:
      return [{ path, message: issue.message }];
  }
}

/** Keys by the names that sysfs, udev and other device plugins give to the same thing. */
const OTHER_NAMES: readonly (readonly [RegExp, key: string, example: string])[] = [
  [
    /^id(vendor|product)$|^(id_)?(vendor|model|product)_?id$|^(vid|pid|vidpid|usb_?ids?)$/i,
    'usb',
    'usb: ["VENDOR:PRODUCT"], as lsusb prints it',
  ],
  [/^manufacturer$|^id_vendor(_enc)?$/i, 'vendor', 'vendor'],
  [/^id_model(_enc)?$/i, 'model', 'model'],
  [/^id_serial(_short)?$|^serial_?number$/i, 'serial', 'serial'],
  [/^id_path(_tag)?$|^(usb_?)?port$|^by-?path$/i, 'path', 'path: ["*-usb-0:1.3"], as ID_PATH of udev'],
  [/^b?interface_?(class|subclass|protocol)$/i, 'interface', 'interface: ["CLASS/SUBCLASS/PROTOCOL"], in hexadecimal'],
];

function otherwiseNamed(key: string, known: readonly string[]): string {
  const found = OTHER_NAMES.find(([pattern, name]) => pattern.test(key) && known.includes(name));
  return found ? `; write ${found[2]}` : '';
}

/** `rules[1].allow.media[0]`, `podLabels["app.kubernetes.io/name"]` */
export function formatPath(path: Path): string {
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      const key = String(step);
      if (!/^[A-Za-z_][-A-Za-z0-9_]{0,63}$/.test(key)) return `[${quote(key)}]`;
      return index === 0 ? key : `.${key}`;
    })
    .join('');
}

/** What there is, cut where it is long. */
export const listing = (names: readonly string[]): string =>
  [...names.slice(0, 20), ...(names.length > 20 ? ['…'] : [])].join(', ');

const EXPECTED: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'a mapping of keys to values',
  record: 'a mapping of keys to values',
  string: 'text',
  boolean: 'true or false',
  number: 'a number',
  int: 'a whole number',
};
const expected = (type: string): string => EXPECTED[type] ?? type;

function found(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (typeof value === 'object') return 'a mapping of keys to values';
  if (typeof value === 'string') return quote(value);
  return `the ${typeof value} ${String(value)}`.replace(/^the boolean /, '');
}

function remedy(type: string, value: unknown): string {
  if (type === 'string' && typeof value === 'boolean') return `: put it in quotes, ${quote(String(value))}`;
  // As it was written, 0666 or 1e3, which its value does not tell.
  if (type === 'string' && typeof value === 'number') return ': put it in quotes';
  if (type === 'array' && typeof value === 'string' && value.length <= 40) return `: write [${quote(value)}]`;
  return '';
}

function keysOf(issue: RawIssue): readonly string[] {
  const definition = (issue.inst as z.core.$ZodType | undefined)?._zod.def;
  return definition !== undefined && 'shape' in definition ? Object.keys(definition.shape as object) : [];
}
