import { isDeepStrictEqual } from 'node:util';
import { STATUS } from '../../contract/annotations.ts';
import { isObject, type JsonObject } from '../../contract/json.ts';
import { templatePath } from '../../injection/index.ts';
import { identify } from '../inject/objects.ts';
import type { Answer, ApiClient } from './client.ts';
import type { Scene } from './scenes.ts';

/** One object on its way through the webhook. */
export interface Review extends Answer {
  readonly before: JsonObject;
}

export interface Take {
  readonly reviews: readonly Review[];
  /** How the result differs from the scene; undefined: not at all. */
  readonly problem: string | undefined;
}

/** Does what an API server and its controllers do with the objects of a scene: reviews the workload, then a pod from its template. */
export async function play(scene: Scene, objects: readonly JsonObject[], api: ApiClient): Promise<Take> {
  const reviews: Review[] = [];
  let problem: string | undefined;
  for (const object of objects) {
    const { namespace } = identify(object, undefined);
    const review = async (path: '/mutate/pods' | '/mutate/workloads', before: JsonObject): Promise<Review> => {
      const reviewed = { before, ...(await api.review(path, before, { namespace })) };
      reviews.push(reviewed);
      return reviewed;
    };
    const template = templatePath(object);
    if (!template && object['kind'] !== 'Pod') continue;
    const pod = template ? podOf((await review('/mutate/workloads', object)).object, template) : object;
    const reviewed = await review('/mutate/pods', pod);
    problem ??= problemOf(scene, reviewed) ?? (await problemOfSecondPass(reviewed, object, api));
  }
  return { reviews, problem: reviews.length > 0 ? problem : 'there is nothing in it for the webhook' };
}

/** The pod that a controller makes from a template. */
function podOf(workload: JsonObject, template: readonly (string | number)[]): JsonObject {
  const { metadata, spec } = template.reduce<unknown>(
    (value, key) => (isObject(value) ? value[key] : undefined),
    workload,
  ) as JsonObject;
  const { namespace, name } = identify(workload, undefined);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...(metadata as JsonObject), generateName: `${name}-`, namespace },
    spec,
  };
}

function problemOf({ outcome }: Scene, { object, warnings, denial }: Review): string | undefined {
  if (outcome === 'denied') return denial === undefined ? 'the pod was to be denied, and was admitted' : undefined;
  if (denial !== undefined) return `the pod was to be admitted, and was denied: ${denial}`;
  if (outcome === 'warned' && warnings.length === 0) return 'there was to be a warning, and there was none';
  if (outcome === 'injected' && warnings.length > 0) return `there was to be no warning, and there was: ${warnings[0]}`;
  const { annotations } = object['metadata'] as JsonObject;
  return isObject(annotations) && annotations[STATUS] !== undefined ? undefined : 'the pod was not injected';
}

/** The API server calls again where another webhook has changed the pod since (reinvocationPolicy: IfNeeded). */
async function problemOfSecondPass({ object, denial }: Review, owner: JsonObject, api: ApiClient) {
  if (denial !== undefined) return undefined;
  const again = await api.review('/mutate/pods', object, { namespace: identify(owner, undefined).namespace });
  return isDeepStrictEqual(again.object, object) ? undefined : 'a second pass over the pod changed it again';
}
