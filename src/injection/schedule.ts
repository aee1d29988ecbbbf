import { classKey } from '../contract/annotations.ts';
import type { JsonObject } from '../contract/json.ts';
import type { Policy } from '../policy/index.ts';
import { type Container, containersOf } from './containers.ts';
import { edit } from './edit.ts';
import type { Entry } from './grant.ts';
import { objectIn, objectsIn } from './shape.ts';

/**
 * The pod such that the scheduler takes a node where something of each class is plugged in that the pod has. A pod that names its node, or says
 * the same already, stays the same object. Throws ObjectError.
 */
export function withSchedule(pod: JsonObject, entries: readonly Entry[], { scheduleBy }: Policy): JsonObject {
  const spec = objectIn(pod, 'spec', '') ?? {};
  const users = usersOf(entries);
  if (users.size === 0 || typeof spec['nodeName'] === 'string') return pod;
  return scheduleBy === 'resource' ? withRequests(pod, spec, users) : withAffinity(pod, spec, [...users.keys()]);
}

/** The media and device classes that the pod has, and the containers that have them. */
function usersOf(entries: readonly Entry[]): Map<string, Set<string>> {
  const users = new Map<string, Set<string>>();
  for (const { container, feature, item } of entries) {
    if (feature !== 'media' && feature !== 'devices') continue;
    const className = item.split(':')[0] as string;
    users.set(className, (users.get(className) ?? new Set()).add(container));
  }
  return users;
}

/** A limit is a request too, and of extended resources there is none without. One container has it: the scheduler adds up. */
function withRequests(pod: JsonObject, spec: JsonObject, users: ReadonlyMap<string, ReadonlySet<string>>): JsonObject {
  const containers = containersOf(spec);
  const asked = new Set(containers.flatMap((container) => resourcesOf(spec, container)));
  return [...users].reduce((scheduled, [className, names]) => {
    const key = classKey(className);
    const user = containers.find(({ name }) => names.has(name));
    if (!user || asked.has(key)) return scheduled;
    return edit(scheduled, ['spec', user.list, user.index, 'resources', 'limits', key], () => '1');
  }, pod);
}

function resourcesOf(spec: JsonObject, { list, index, field }: Container): string[] {
  const container = objectsIn(spec, list, 'spec')[index] ?? {};
  const resources = objectIn(container, 'resources', field) ?? {};
  return ['limits', 'requests'].flatMap((kind) => Object.keys(objectIn(resources, kind, `${field}.resources`) ?? {}));
}

const AFFINITY = ['spec', 'affinity', 'nodeAffinity', 'requiredDuringSchedulingIgnoredDuringExecution'] as const;

/** Each of the pod's own terms gets the labels, as one of the terms suffices to the scheduler. */
function withAffinity(pod: JsonObject, spec: JsonObject, classes: readonly string[]): JsonObject {
  const affinity = objectIn(spec, 'affinity', 'spec') ?? {};
  const nodeAffinity = objectIn(affinity, 'nodeAffinity', 'spec.affinity') ?? {};
  const required = objectIn(nodeAffinity, AFFINITY[3], 'spec.affinity.nodeAffinity') ?? {};
  const terms = objectsIn(required, 'nodeSelectorTerms', AFFINITY.join('.'));
  const wanted = (terms.length === 0 ? [{}] : terms).map((term) => withExpressions(term, classes));
  if (terms.length > 0 && wanted.every((term, index) => term === terms[index])) return pod;
  return edit(pod, [...AFFINITY, 'nodeSelectorTerms'], () => wanted);
}

function withExpressions(term: JsonObject, classes: readonly string[]): JsonObject {
  const expressions = objectsIn(term, 'matchExpressions', 'nodeSelectorTerms');
  const has = (key: string) => expressions.some((one) => one['key'] === key);
  const missing = classes.map(classKey).filter((key) => !has(key));
  if (missing.length === 0) return term;
  const added = missing.map((key) => ({ key, operator: 'In', values: ['true'] }));
  return { ...term, matchExpressions: [...expressions, ...added] };
}
