import { FROM_WORKLOAD } from '../contract/annotations.ts';
import { isObject, type JsonObject } from '../contract/json.ts';
import { type Finding, finding, type Reason } from '../contract/reasons.ts';
import { ownAnnotations, readCarried, serializeCarried } from '../contract/request.ts';
import { quote } from '../contract/suggest.ts';
import { NamespaceLabelsUnknownError, type Policy } from '../policy/index.ts';
import { edit, type Path, without } from './edit.ts';
import { type Context, type InjectResult, inject, type Summary } from './inject.ts';
import { ObjectError, objectIn, objectsIn, stringIn } from './shape.ts';

/** Where the kinds whose annotations are carried keep their pod template. */
const TEMPLATES: Readonly<Record<string, Path>> = {
  'apps/Deployment': ['spec', 'template'],
  'apps/StatefulSet': ['spec', 'template'],
  'apps/DaemonSet': ['spec', 'template'],
  'batch/Job': ['spec', 'template'],
  'batch/CronJob': ['spec', 'jobTemplate', 'spec', 'template'],
};

/** `group/kind` of the workloads that hotmount knows. */
export const WORKLOAD_KINDS: readonly string[] = Object.keys(TEMPLATES);

/** The path of a workload's pod template, undefined where the object is not a workload that hotmount knows. */
export function templatePath(object: JsonObject): Path | undefined {
  const { apiVersion, kind } = object;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') return undefined;
  const key = `${apiVersion.split('/')[0]}/${kind}`;
  return Object.hasOwn(TEMPLATES, key) ? TEMPLATES[key] : undefined;
}

export interface WorkloadResult {
  /** The very same object where nothing was to be done. */
  readonly object: JsonObject;
  readonly warnings: readonly Finding[];
  readonly summary: Summary;
}

/**
 * Carries a workload's own annotations to its pod template, and warns of what its pods would be denied; nothing on a workload is ever
 * denied. Throws ObjectError.
 */
export function mutateWorkload(
  workload: JsonObject,
  context: Context & { readonly operation: 'CREATE' | 'UPDATE' },
  policy: Policy,
): WorkloadResult {
  const isJob = workload['kind'] === 'Job';
  if (isJob && context.operation === 'UPDATE') return existingJob(workload);
  const carried = carry(workload);
  const { result, warnings } = preview(carried.object, context, policy);
  return {
    object: carried.object,
    warnings,
    summary: { outcome: carried.outcome, entries: result?.summary.entries ?? [], rules: result?.summary.rules ?? [] },
  };
}

/**
 * The workload with its annotations as one JSON annotation on its template: recomputed from the workload alone at each write (for a Job,
 * added to what its template came with), gone when there is nothing to carry. The template's own keys are never touched. Throws ObjectError.
 */
export function carry(workload: JsonObject): { object: JsonObject; outcome: Reason } {
  const path = templatePath(workload);
  if (!path || !at(workload, path)) return { object: workload, outcome: 'unexpected_kind' };
  // Its CronJob has carried its annotations there already; computed anew from the Job, which has none, they would be lost.
  if (ownedByCronJob(workload)) return { object: workload, outcome: 'job_of_cronjob' };

  const annotations = [...path, 'metadata', 'annotations'];
  const own = { ...cameWithJob(workload, annotations), ...carriedBy(workload) };
  if (Object.keys(own).length > 0) {
    return { object: edit(workload, [...annotations, FROM_WORKLOAD], () => serializeCarried(own)), outcome: 'carried' };
  }
  const existing = at(workload, annotations);
  if (!existing || !Object.hasOwn(existing, FROM_WORKLOAD)) return { object: workload, outcome: 'nothing_to_carry' };
  return { object: edit(workload, annotations, () => without(existing, FROM_WORKLOAD)), outcome: 'carried' };
}

/** What a manifest becomes: a Pod injected; a workload carried, its template injected as its pods will be; all else as it is. */
export interface ManifestResult extends Omit<InjectResult, 'pod'> {
  /** The very same object where nothing was to be done, or where it is denied. */
  readonly object: JsonObject;
}

/** Throws ObjectError and NamespaceLabelsUnknownError, as `inject` does. */
export function injectManifest(object: JsonObject, context: Context, policy: Policy): ManifestResult {
  if (object['kind'] === 'Pod' && object['apiVersion'] === 'v1') {
    const { pod, ...result } = inject(object, context, policy);
    return { ...result, object: pod };
  }
  const carried = carry(object);
  const path = templatePath(object);
  const template = path && at(carried.object, path);
  if (!path || !template) {
    return { object, warnings: [], denials: [], summary: { outcome: carried.outcome, entries: [], rules: [] } };
  }
  const { pod, ...result } = injectTemplate(template, path, context, policy);
  return { ...result, object: result.denials.length > 0 ? object : edit(carried.object, path, () => pod) };
}

/** As a pod. Throws ObjectError for fields of the workload. */
function injectTemplate(template: JsonObject, path: Path, context: Context, policy: Policy): InjectResult {
  try {
    return inject(template, context, policy);
  } catch (error) {
    throw error instanceof ObjectError ? error.in(path.join('.')) : error;
  }
}

/** What the workload's pods would get. Its template is not ours to reject: only what can be told is told. */
function preview(
  workload: JsonObject,
  context: Context,
  policy: Policy,
): { result: InjectResult | undefined; warnings: readonly Finding[] } {
  const path = templatePath(workload);
  const template = path && at(workload, path);
  if (!path || !template) return { result: undefined, warnings: [] };
  try {
    const result = inject(template, context, policy);
    const kind = String(workload['kind']);
    const denied = result.denials.map(({ message }) => finding('pods_would_be_denied', { kind, why: message }));
    return { result, warnings: [...denied, ...result.warnings] };
  } catch (error) {
    if (!(error instanceof NamespaceLabelsUnknownError)) throw error;
    const { namespace, rule } = error;
    return { result: undefined, warnings: [finding('namespace_labels_unknown', { namespace, rule })] };
  }
}

function existingJob(job: JsonObject): WorkloadResult {
  const name = stringIn(metadataOf(job), 'name', 'metadata') ?? '';
  // What was carried when it was created is there still; only what has changed since comes too late.
  const carries = carry(job).object !== job;
  return {
    object: job,
    warnings: carries ? [finding('existing_job', { name })] : [],
    summary: { outcome: carries ? 'existing_job' : 'nothing_to_carry', entries: [], rules: [] },
  };
}

/**
 * What the template of a Job came with. Tools make Jobs from a CronJob's template without naming it as their owner, and what it carried
 * would be lost; nor can a Job ever be recomputed later. So it stays, and the Job's own annotations win.
 */
function cameWithJob(workload: JsonObject, annotations: Path): JsonObject {
  return (workload['kind'] === 'Job' && readCarried(at(workload, annotations)?.[FROM_WORKLOAD])) || {};
}

/** A CronJob's jobTemplate has annotations of its own, nearer to the pods: they win. */
function carriedBy(workload: JsonObject): JsonObject {
  const jobTemplate =
    workload['kind'] === 'CronJob' ? at(workload, ['spec', 'jobTemplate', 'metadata', 'annotations']) : undefined;
  const carried = { ...ownAnnotations(annotationsOf(workload)), ...ownAnnotations(jobTemplate ?? {}) };
  // A number or a boolean without quotes is told to the user by whoever reads it there.
  const [key, value] = Object.entries(carried).find(([, value]) => typeof value === 'object' && value !== null) ?? [];
  if (key !== undefined) throw new ObjectError(`metadata.annotations[${quote(key)}]`, 'a string', value);
  return carried;
}

const metadataOf = (object: JsonObject): JsonObject => objectIn(object, 'metadata', '') ?? {};
const annotationsOf = (object: JsonObject): JsonObject => objectIn(metadataOf(object), 'annotations', 'metadata') ?? {};

const ownedByCronJob = (object: JsonObject): boolean =>
  object['kind'] === 'Job' &&
  objectsIn(metadataOf(object), 'ownerReferences', 'metadata').some(
    ({ apiVersion, kind }) => kind === 'CronJob' && typeof apiVersion === 'string' && apiVersion.startsWith('batch/'),
  );

/** The object at a path; undefined where it or anything on the way is missing. Throws ObjectError. */
function at(object: JsonObject, path: Path): JsonObject | undefined {
  return path.reduce<JsonObject | undefined>((node, key, i) => {
    const value = node?.[key] ?? undefined;
    if (value === undefined || isObject(value)) return value;
    throw new ObjectError(path.slice(0, i + 1).join('.'), 'an object', value);
  }, object);
}
