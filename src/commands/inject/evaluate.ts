import { DEFAULTS_ENABLED, DEFAULTS_LABEL, PREFIX } from '../../contract/annotations.ts';
import { isObject, type Json, type JsonObject, type Labels } from '../../contract/json.ts';
import { REASONS, type Reason } from '../../contract/reasons.ts';
import { quote } from '../../contract/suggest.ts';
import type { VolumeKind } from '../../contract/volumes.ts';
import { type Entry, injectManifest, isPodSecurityEnforced, ObjectError, templatePath } from '../../injection/index.ts';
import { NamespaceLabelsUnknownError, type Policy } from '../../policy/index.ts';
import type { Manifest } from './manifests.ts';
import { misplacedIn } from './misplaced.ts';
import { annotationKeys, type Identity, identify, locate, locateKey, mapObjects, type Path } from './objects.ts';

export interface Evaluated {
  readonly manifest: Manifest;
  /** The manifest's very own value where nothing changes; undefined for an empty document. */
  readonly value: JsonObject | undefined;
  readonly verdicts: readonly Verdict[];
  /** Of items of lists that are no objects. */
  readonly problems: readonly Remark[];
}

/** What becomes of one object. */
export interface Verdict {
  readonly identity: Identity;
  readonly before: JsonObject;
  readonly after: JsonObject;
  readonly entries: readonly Entry[];
  /** Why nothing was added. undefined: it is of a kind that hotmount does not cover. */
  readonly outcome: string | undefined;
  readonly remarks: readonly Remark[];
}

/**
 * One line for the user. `denied`: the object, or the pods of it, would not be admitted; it stays as it came. `error`: it is no object
 * that Kubernetes would take; it stays, too.
 */
export interface Remark {
  readonly severity: 'error' | 'denied' | 'warning' | 'note';
  /** `FILE:LINE:COLUMN` */
  readonly place: string;
  readonly message: string;
  /** That of a namespace's Pod Security level: which is said once for all objects of the namespace. */
  readonly podSecurity?: { readonly isEnforced: boolean };
}

export interface EvaluateOptions {
  readonly policy: Policy;
  /** Instead of the objects' own. */
  readonly namespace: string | undefined;
  /** Besides those that Namespaces among the manifests have. */
  readonly namespaceLabels: Labels | undefined;
  /** undefined: csi. */
  readonly volumes: VolumeKind | undefined;
  /** Those, by name. */
  readonly known: ReadonlyMap<string, Labels>;
}

/** Injects all objects of a manifest. What is wrong with one is said of that one, which stays as it came; the others are injected. */
export function evaluate(manifest: Manifest, options: EvaluateOptions): Evaluated {
  const verdicts: Verdict[] = [];
  const problems: Remark[] = [];
  const placeAt = (path: Path) => (message: string) => locate(manifest, path, message);
  const misplaced = (object: JsonObject, path: Path): Remark[] => {
    const template = podPath(object);
    if (!template) return [];
    return misplacedIn(object, template).map(({ path: key, message }) => ({
      severity: 'warning',
      place: locateKey(manifest, path, key),
      message,
    }));
  };
  const value =
    manifest.value &&
    mapObjects(
      manifest.value,
      (object, path) => {
        const verdict = evaluateObject(object, placeAt(path), options);
        verdicts.push({ ...verdict, remarks: [...verdict.remarks, ...misplaced(object, path)] });
        return verdict.after;
      },
      (odd, path) => {
        const expected = typeof path.at(-1) === 'number' ? 'an object' : 'a list';
        const message = `${fieldOf(path)}: expected ${expected}, found ${quote(odd)}`;
        problems.push({ severity: 'error', place: placeAt(path)(''), message });
      },
    );
  return { manifest, value, verdicts, problems };
}

/** `items[3].items[0]` */
const fieldOf = (path: Path): string =>
  path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${key}`)).join('');

function evaluateObject(object: JsonObject, place: (message: string) => string, options: EvaluateOptions): Verdict {
  const identity = identify(object, options.namespace);
  const { namespace } = identity;
  const labels = labelsFor(namespace, options.known.get(namespace), options.namespaceLabels);
  const remark = (severity: Remark['severity'], message: string): Remark => ({
    severity,
    message,
    place: place(message),
  });
  const leftAlone = (outcome: string, remarks: readonly Remark[]): Verdict => ({
    identity,
    before: object,
    after: object,
    entries: [],
    outcome,
    remarks,
  });
  const part = partOf(object);
  if (part !== undefined) {
    return leftAlone(part, annotationKeys(object).some(isOurs) ? [remark('warning', part)] : []);
  }
  try {
    const result = injectManifest(
      object,
      { namespace, namespaceLabels: labels, volumes: options.volumes },
      options.policy,
    );
    const { entries, outcome } = result.summary;
    const remarks = [
      ...result.denials.map(({ message }) => remark('denied', message)),
      ...result.warnings.map(({ reason, message }) => ({
        ...remark('warning', message),
        ...(reason === 'pod_security' && { podSecurity: { isEnforced: isPodSecurityEnforced(labels) } }),
      })),
      ...notCovered(object, identity).map((message) => remark('note', message)),
      ...misspelt(object).map((message) => remark('warning', message)),
    ];
    return { identity, before: object, after: result.object, entries, outcome: sentenceOf(outcome), remarks };
  } catch (error) {
    if (error instanceof ObjectError) return leftAlone(error.message, [remark('error', error.message)]);
    if (!(error instanceof NamespaceLabelsUnknownError)) throw error;
    const message =
      `${error.message}${dependence(options.policy, error.rule)}: give them with --namespace-labels (an empty value means none), ` +
      'or add the Namespace to the manifests';
    return leftAlone(message, [remark('denied', message)]);
  }
}

/** What of a rule depends on the labels, where it sets no condition on them. */
function dependence({ rules }: Policy, name: string): string {
  const rule = rules.find((each) => each.name === name);
  if (!rule || rule.namespaceLabels !== undefined) return '';
  return ` for its defaults, which reach namespaces labelled ${DEFAULTS_LABEL}=${DEFAULTS_ENABLED} alone`;
}

const sentenceOf = (outcome: Reason): string | undefined =>
  outcome === 'unexpected_kind' ? undefined : REASONS[outcome].sentence;

/**
 * That a pod or a workload has no containers, as in a patch of kustomize, and so nothing can be added to it. Undefined: it has, or it is
 * none, or something else than a list of them is there, for the core to find.
 */
function partOf(object: JsonObject): string | undefined {
  const template = podPath(object);
  if (!template) return undefined;
  const path = [...template, 'spec', 'containers'];
  let value: Json = object;
  for (const key of path) {
    if (!isObject(value)) return undefined;
    value = value[key] ?? null;
    if (value === null || (key === 'containers' && Array.isArray(value) && value.length === 0)) {
      return `it has no ${path.join('.')}, and goes through as it is: where it is a patch, inject what is built with it (kustomize build DIR | hotmount inject)`;
    }
  }
  return undefined;
}

/** Where in a pod or a workload the pod is. Undefined: the object is neither. */
const podPath = (object: JsonObject): Path | undefined =>
  object['kind'] === 'Pod' && object['apiVersion'] === 'v1' ? [] : templatePath(object);

const isOurs = (key: string): boolean => key.startsWith(PREFIX);

/** The API server gives each namespace its name as a label (apiserver, NamespaceDefaultLabelName). */
function labelsFor(namespace: string, known: Labels | undefined, given: Labels | undefined): Labels | undefined {
  return known || given ? { ...known, ...given, 'kubernetes.io/metadata.name': namespace } : undefined;
}

/** What people should know about an object that we leave alone: annotations under our prefix on it have no effect. What a controller has made copies them from elsewhere. */
function notCovered(object: JsonObject, { apiVersion, kind }: Identity): string[] {
  const isCovered = podPath(object) !== undefined;
  if (typeof object['kind'] !== 'string' || typeof object['apiVersion'] !== 'string') {
    return ['without apiVersion and kind it is no Kubernetes object, and goes through as it is'];
  }
  const key = annotationKeys(object).find(isOurs);
  if (isCovered || key === undefined || isControlled(object)) return [];
  return [
    `annotation ${key} is not acted upon: hotmount does not cover ${kind} of ${apiVersion}. On a pod template it takes effect when the webhook sees the pods`,
  ];
}

/** Of annotations whose prefix is ours but for the case: Kubernetes takes them for another's. */
function misspelt(object: JsonObject): string[] {
  const keys = annotationKeys(object).filter((key) => !isOurs(key) && isOurs(key.toLowerCase()));
  return keys.map((key) => `annotation ${key} is unknown to hotmount: did you mean ${key.toLowerCase()}?`);
}

function isControlled({ metadata }: JsonObject): boolean {
  const owners = isObject(metadata) ? metadata['ownerReferences'] : undefined;
  return Array.isArray(owners) && owners.some((owner) => isObject(owner) && owner['controller'] === true);
}
