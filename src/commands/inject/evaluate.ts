import { PREFIX } from '../../contract/annotations.ts';
import { isObject, type JsonObject, type Labels } from '../../contract/json.ts';
import type { Finding } from '../../contract/reasons.ts';
import type { VolumeKind } from '../../contract/volumes.ts';
import { injectManifest, ObjectError, type Summary, templatePath } from '../../injection/index.ts';
import { NamespaceLabelsUnknownError, type Policy } from '../../policy/index.ts';
import { BadInput } from './bad-input.ts';
import type { Manifest } from './manifests.ts';
import {
  annotationKeys,
  type Identity,
  identify,
  locate,
  mapObjects,
  namespaceLabelsIn,
  objectsIn,
} from './objects.ts';

export interface Evaluated {
  readonly manifest: Manifest;
  /** The manifest's very own value where nothing changes; undefined for an empty document. */
  readonly value: JsonObject | undefined;
  readonly verdicts: readonly Verdict[];
}

/** What becomes of one object. */
export interface Verdict {
  readonly identity: Identity;
  readonly before: JsonObject;
  readonly after: JsonObject;
  readonly summary: Summary;
  readonly remarks: readonly Remark[];
}

/** One line for the user. `denied`: the object, or the pods of it, would not be admitted; it stays as it came. */
export interface Remark {
  readonly severity: 'denied' | 'warning' | 'note';
  /** `FILE:LINE:COLUMN` */
  readonly place: string;
  readonly message: string;
}

export interface EvaluateOptions {
  readonly policy: Policy;
  /** Instead of the objects' own. */
  readonly namespace: string | undefined;
  /** Besides those that Namespaces among the manifests have. */
  readonly namespaceLabels: Labels | undefined;
  /** undefined: csi. */
  readonly volumes: VolumeKind | undefined;
}

/** Injects all objects of all manifests. Throws BadInput for objects that are malformed, naming all of them. */
export function evaluate(manifests: readonly Manifest[], options: EvaluateOptions): Evaluated[] {
  const known = namespaceLabelsIn(manifests.flatMap(({ value }) => (value ? objectsIn(value) : [])));
  const problems: string[] = [];
  const evaluated = manifests.map((manifest): Evaluated => {
    const verdicts: Verdict[] = [];
    const value =
      manifest.value &&
      mapObjects(manifest.value, (object, path) => {
        const place = (message: string) => locate(manifest, path, message);
        try {
          const verdict = evaluateObject(object, place, known, options);
          verdicts.push(verdict);
          return verdict.after;
        } catch (error) {
          if (!(error instanceof ObjectError)) throw error;
          const { kind, namespace, name } = identify(object, options.namespace);
          problems.push(`${place(error.message)}: ${kind} ${namespace}/${name}: ${error.message}`);
          return object;
        }
      });
    return { manifest, value, verdicts };
  });
  if (problems.length > 0) throw new BadInput(problems);
  return evaluated;
}

function evaluateObject(
  object: JsonObject,
  place: (message: string) => string,
  known: ReadonlyMap<string, Labels>,
  { policy, namespace: override, namespaceLabels, volumes }: EvaluateOptions,
): Verdict {
  const identity = identify(object, override);
  const { namespace } = identity;
  const labels = labelsFor(namespace, known.get(namespace), namespaceLabels);
  const remark = (severity: Remark['severity']) => (message: string) => ({ severity, message, place: place(message) });
  try {
    const result = injectManifest(object, { namespace, namespaceLabels: labels, volumes }, policy);
    const remarks = [
      ...messages(result.denials).map(remark('denied')),
      ...messages(result.warnings).map(remark('warning')),
      ...notCovered(object, identity).map(remark('note')),
    ];
    return { identity, before: object, after: result.object, summary: result.summary, remarks };
  } catch (error) {
    if (!(error instanceof NamespaceLabelsUnknownError)) throw error;
    const message =
      `${error.message}: give them with --namespace-labels (an empty value means none), ` +
      'or add the Namespace to the manifests';
    const summary: Summary = { outcome: 'namespace_labels_unknown', entries: [], rules: [] };
    return { identity, before: object, after: object, summary, remarks: [remark('denied')(message)] };
  }
}

const messages = (findings: readonly Finding[]): readonly string[] => findings.map(({ message }) => message);

/** The API server gives each namespace its name as a label (apiserver, NamespaceDefaultLabelName). */
function labelsFor(namespace: string, known: Labels | undefined, given: Labels | undefined): Labels | undefined {
  return known || given ? { ...known, ...given, 'kubernetes.io/metadata.name': namespace } : undefined;
}

/** What people should know about an object that we leave alone: annotations under our prefix on it have no effect. What a controller has made copies them from elsewhere. */
function notCovered(object: JsonObject, { apiVersion, kind }: Identity): string[] {
  const isCovered = templatePath(object) !== undefined || (apiVersion === 'v1' && kind === 'Pod');
  if (typeof object['kind'] !== 'string' || typeof object['apiVersion'] !== 'string') {
    return ['without apiVersion and kind it is no Kubernetes object, and goes through as it is'];
  }
  const key = annotationKeys(object).find((name) => name.startsWith(PREFIX));
  if (isCovered || key === undefined || isControlled(object)) return [];
  return [
    `annotation ${key} is not acted upon: hotmount does not cover ${kind} of ${apiVersion}. On a pod template it takes effect when the webhook sees the pods`,
  ];
}

function isControlled({ metadata }: JsonObject): boolean {
  const owners = isObject(metadata) ? metadata['ownerReferences'] : undefined;
  return Array.isArray(owners) && owners.some((owner) => isObject(owner) && owner['controller'] === true);
}
