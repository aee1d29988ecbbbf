import {
  CONTAINERS,
  FEATURES,
  type Feature,
  FROM_WORKLOAD,
  INJECT,
  isFeature,
  MAX_KEY_NAME,
  PREFIX,
  SCHEDULE,
  STATUS,
} from './annotations.ts';
import { isObject, type JsonObject } from './json.ts';
import { type Finding, finding } from './reasons.ts';
import { didYouMean, quote } from './suggest.ts';
import { parseNames, parseValue, type Want } from './wants.ts';

/** One annotation that asks for something, or for nothing (`"false"`). */
export interface Setting {
  /** The whole key, as it goes into messages. */
  readonly annotation: string;
  readonly value: string;
  readonly wants: readonly Want[];
}

/** What the annotations of a pod say, before anybody asks whether it is allowed. */
export interface Request {
  /** False: `hotmount.io/inject: "false"`. */
  readonly inject: boolean;
  /** `hotmount.io/schedule: "true"`: only a node that has what is asked for will do. */
  readonly schedule: boolean;
  /** The names in `hotmount.io/containers`; undefined: the default selection. */
  readonly containers: readonly string[] | undefined;
  readonly features: ReadonlyMap<Feature, Setting>;
  /** By container name, then feature. */
  readonly overrides: ReadonlyMap<string, ReadonlyMap<Feature, Setting>>;
  /** What is wrong with them. */
  readonly findings: readonly Finding[];
}

/** What people have written, on the pod or on its workload: by annotation, the value that counts. Throws nothing. */
export const effectiveAnnotations = (annotations: JsonObject): JsonObject => ({
  ...carriedAnnotations(annotations[FROM_WORKLOAD], []),
  ...ownAnnotations(annotations),
});

/** Reads all `hotmount.io/` annotations of a pod, those its workload carried to it included; its own win. Throws nothing. */
export function readRequest(annotations: JsonObject): Request {
  const findings: Finding[] = [];
  const asked = { ...carriedAnnotations(annotations[FROM_WORKLOAD], findings), ...ownAnnotations(annotations) };
  const features = new Map<Feature, Setting>();
  const overrides = new Map<string, Map<Feature, Setting>>();
  // Before all else: it makes the others' mistakes matter to nobody.
  const inject = !(typeof asked[INJECT] === 'string' && asked[INJECT].trim() === 'false');
  let schedule = false;
  let containers: readonly string[] | undefined;

  for (const [annotation, value] of Object.entries(asked)) {
    // Each of them is a denial already: the rest can wait until these are mended.
    if (findings.length >= MAX_FINDINGS) break;
    if (typeof value !== 'string') {
      findings.push(finding('annotation_not_string', { annotation, value: quote(value ?? null) }));
      continue;
    }
    const invalid = (problem: string) =>
      findings.push(finding('annotation_invalid', { annotation, value: quote(value), problem }));

    if (annotation === INJECT || annotation === SCHEDULE) {
      if (value.trim() !== 'true' && value.trim() !== 'false') invalid('expected "true" or "false"');
      else if (annotation === SCHEDULE) schedule = value.trim() === 'true';
    } else if (annotation === CONTAINERS) {
      const parsed = parseNames(value);
      if ('problem' in parsed) invalid(parsed.problem);
      else containers = parsed.names;
    } else {
      const key = parseKey(annotation);
      if ('reason' in key) {
        findings.push(key);
        continue;
      }
      const parsed = parseValue(key.feature, value);
      if ('problem' in parsed) {
        invalid(parsed.problem);
        continue;
      }
      const setting = { annotation, value: value.trim(), wants: parsed.wants };
      if (key.container === undefined) features.set(key.feature, setting);
      else overrides.set(key.container, (overrides.get(key.container) ?? new Map()).set(key.feature, setting));
    }
  }
  return { inject, schedule, containers, features, overrides, findings };
}

/** The annotations under the prefix that people write, in the order in which they stand. */
export function ownAnnotations(annotations: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => isOwn(key)));
}

/** The inverse of the carried annotation's value. */
export const serializeCarried = (annotations: JsonObject): string =>
  JSON.stringify(Object.fromEntries(Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1))));

const MAX_FINDINGS = 50;

const isOwn = (key: string): boolean => key.startsWith(PREFIX) && key !== STATUS && key !== FROM_WORKLOAD;

/** The annotations that a carried annotation's value holds; undefined where it is not such a value. */
export function readCarried(value: unknown): JsonObject | undefined {
  const carried = parseJson(value);
  return isObject(carried) ? carried : undefined;
}

function carriedAnnotations(value: unknown, findings: Finding[]): JsonObject {
  if (value === undefined) return {};
  const carried = parseJson(value);
  const stranger = isObject(carried) ? Object.keys(carried).find((key) => !isOwn(key)) : undefined;
  if (isObject(carried) && stranger === undefined) return carried;
  const problem = stranger === undefined ? 'it is not a JSON object' : `${quote(stranger)} has no place in it`;
  findings.push(finding('from_workload_invalid', { problem }));
  return {};
}

function parseJson(value: unknown): unknown {
  try {
    return typeof value === 'string' ? JSON.parse(value) : undefined;
  } catch {
    return undefined;
  }
}

/** `lxcfs` or `lxcfs.db`, after the prefix. */
function parseKey(annotation: string): { feature: Feature; container: string | undefined } | Finding {
  const name = annotation.slice(PREFIX.length);
  const dot = name.indexOf('.');
  const [feature, container] = dot < 0 ? [name, undefined] : [name.slice(0, dot), name.slice(dot + 1)];
  if (name.length > MAX_KEY_NAME && isFeature(feature)) {
    return finding('annotation_key_too_long', { annotation: quote(annotation), length: String(name.length) });
  }
  if (isFeature(feature) && container !== '') return { feature, container };
  const hint =
    container !== undefined && [INJECT, SCHEDULE].includes(`${PREFIX}${feature}`)
      ? '; it is for the whole pod: name containers in hotmount.io/containers'
      : didYouMean(feature, [...FEATURES, 'inject', 'containers', 'schedule']) || `; those are ${KNOWN}`;
  return finding('annotation_unknown', { annotation: quote(annotation), hint });
}

const KNOWN = ['inject', 'containers', 'schedule', ...FEATURES].join(', ');
