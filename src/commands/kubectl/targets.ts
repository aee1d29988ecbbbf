import type { V1Job, V1LabelSelector, V1Pod } from '@kubernetes/client-node';
import type { JsonObject } from '../../contract/json.ts';
import { UsageError } from '../fail.ts';
import type { Connection } from './connection.ts';

/** The names that kubectl knows them by. */
const KINDS = [
  { names: ['pod', 'pods', 'po'], kind: 'Pod', api: 'api/v1', plural: 'pods' },
  { names: ['deployment', 'deployments', 'deploy'], kind: 'Deployment', api: 'apis/apps/v1', plural: 'deployments' },
  { names: ['statefulset', 'statefulsets', 'sts'], kind: 'StatefulSet', api: 'apis/apps/v1', plural: 'statefulsets' },
  { names: ['daemonset', 'daemonsets', 'ds'], kind: 'DaemonSet', api: 'apis/apps/v1', plural: 'daemonsets' },
  { names: ['job', 'jobs'], kind: 'Job', api: 'apis/batch/v1', plural: 'jobs' },
  { names: ['cronjob', 'cronjobs', 'cj'], kind: 'CronJob', api: 'apis/batch/v1', plural: 'cronjobs' },
] as const;

export interface Target {
  /** `Deployment shop/web` */
  readonly title: string;
  /** With its apiVersion and kind, which the API server leaves out of lists only. */
  readonly object: JsonObject;
  readonly pods: readonly V1Pod[];
}

/** The kind and the name in `POD`, `pod/POD` or `deployment/NAME`. @throws UsageError */
export function readTarget(text: string): (typeof KINDS)[number] & { readonly name: string } {
  const [first = '', second] = text.split('/', 2);
  const [word, name] = second === undefined ? ['pod', first] : [first.toLowerCase().replace(/\..*/, ''), second];
  const found = KINDS.find(({ names }) => (names as readonly string[]).includes(word));
  if (found && name !== '') return { ...found, name };
  throw new UsageError(`${text}: expected POD, or KIND/NAME of a ${KINDS.map(({ names: [one] }) => one).join(', ')}`);
}

/** Finds what `POD`, `pod/POD` or `deployment/NAME` names, and its pods. @throws UsageError, ApiError */
export async function findTarget({ ask, namespace }: Connection, text: string): Promise<Target> {
  const { kind, api, plural, name } = readTarget(text);
  const object = await ask<JsonObject>(`/${api}/namespaces/${namespace}/${plural}/${encodeURIComponent(name)}`);
  const title = `${kind} ${namespace}/${name}`;
  if (kind === 'Pod') return { title, object, pods: [object as unknown as V1Pod] };
  const labelSelector = await (kind === 'CronJob' ? jobsSelector(ask, namespace, object) : selectorOf(object));
  if (labelSelector === undefined) return { title, object, pods: [] };
  const query = { labelSelector };
  const { items } = await ask<{ items: V1Pod[] }>(`/api/v1/namespaces/${namespace}/pods`, { query });
  return { title, object, pods: items };
}

function selectorOf(object: JsonObject): string | undefined {
  const selector = (object['spec'] as { selector?: V1LabelSelector } | undefined)?.selector;
  return selector && selectorText(selector);
}

/** A CronJob has no selector, but Jobs, whose controller labels their pods (Kubernetes 1.27). */
async function jobsSelector(
  ask: Connection['ask'],
  namespace: string,
  cronJob: JsonObject,
): Promise<string | undefined> {
  const { uid } = cronJob['metadata'] as { uid?: string };
  const { items } = await ask<{ items: V1Job[] }>(`/apis/batch/v1/namespaces/${namespace}/jobs`);
  const own = items.filter(({ metadata }) => metadata?.ownerReferences?.some((owner) => owner.uid === uid));
  const uids = own.flatMap(({ metadata }) => metadata?.uid ?? []);
  return uids.length > 0 ? `batch.kubernetes.io/controller-uid in (${uids.join(',')})` : undefined;
}

/** As apimachinery's labels.Parse reads it. */
function selectorText({ matchLabels = {}, matchExpressions = [] }: V1LabelSelector): string {
  const expressions = matchExpressions.map(({ key, operator, values = [] }) => {
    if (operator === 'Exists') return key;
    if (operator === 'DoesNotExist') return `!${key}`;
    return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`;
  });
  return [...Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`), ...expressions].join(',');
}
