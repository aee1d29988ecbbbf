import { FROM_WORKLOAD, INJECT } from '../contract/annotations.ts';
import { isObject, type JsonObject } from '../contract/json.ts';
import { type Finding, finding } from '../contract/reasons.ts';
import { effectiveAnnotations, readRequest, type Setting } from '../contract/request.ts';
import { quote } from '../contract/suggest.ts';
import { DRIVER, readVolumeAttributes } from '../contract/volumes.ts';
import { parseValue, type Want } from '../contract/wants.ts';
import {
  judgeLiveWant,
  judgeWant,
  type MatchingRules,
  matchingRules,
  NamespaceLabelsUnknownError,
  type Policy,
  type Subject,
  unknownClass,
} from '../policy/index.ts';
import { describeWant } from './features/index.ts';
import { type Context, subjectOf } from './inject.ts';
import { ObjectError, objectIn, objectsIn } from './shape.ts';

/**
 * What is to be said of a change of a running pod's annotations: what the policy does not allow, what is wrong, and what does nothing to
 * a pod that runs. Only what has changed is judged: what stood there before may be wrong, and must not keep anybody from mending it. Pure.
 * Throws ObjectError, and NamespaceLabelsUnknownError where labels that are not known decide.
 */
export function judgeAnnotations(
  pod: JsonObject,
  before: JsonObject | undefined,
  context: Context,
  policy: Policy,
): readonly Finding[] {
  const spec = objectIn(pod, 'spec', '');
  if (!spec) throw new ObjectError('spec', 'an object', pod['spec'] ?? null);
  const subject = subjectOf(objectIn(pod, 'metadata', '') ?? {}, spec, context);
  const judge: Judge = { policy, subject, rules: matchingRules(policy, subject), isLive: isLive(spec) };
  const [now, then] = [annotationsOf(pod), annotationsOf(before ?? {})];
  const asked = effectiveAnnotations(now);
  const earlier = effectiveAnnotations(then);
  // Nothing was asked for while `inject` was "false": all of it is news.
  const isAwakened = !readRequest(then).inject && readRequest(now).inject;
  const changed = Object.keys({ ...earlier, ...asked }).filter((key) => isAwakened || asked[key] !== earlier[key]);
  const request = readRequest(Object.fromEntries(changed.flatMap((key) => (key in asked ? [[key, asked[key]]] : []))));
  const settings = [
    ...request.features.values(),
    ...[...request.overrides.values()].flatMap((override) => [...override.values()]),
  ];
  return [
    ...request.findings,
    ...(now[FROM_WORKLOAD] === then[FROM_WORKLOAD] ? [] : carriedProblems(now)),
    ...settings.flatMap((setting) => refusalsOf(setting, judge)),
    ...changed.flatMap((annotation) => withoutEffect(annotation, judge)),
    ...settings.flatMap((setting) => otherPaths(setting, judge)),
  ];
}

interface Judge {
  readonly policy: Policy;
  readonly rules: MatchingRules;
  readonly subject: Subject;
  readonly isLive: boolean;
}

const annotationsOf = (object: JsonObject): JsonObject =>
  objectIn(objectIn(object, 'metadata', '') ?? {}, 'annotations', 'metadata') ?? {};

const carriedProblems = (annotations: JsonObject): readonly Finding[] =>
  annotations[FROM_WORKLOAD] === undefined
    ? []
    : readRequest({ [FROM_WORKLOAD]: annotations[FROM_WORKLOAD] }).findings.filter(
        ({ reason }) => reason === 'from_workload_invalid',
      );

/** Whether the pod has a directory of its own. */
const isLive = (spec: JsonObject): boolean =>
  objectsIn(spec, 'volumes', 'spec').some((volume) => {
    const csi = objectIn(volume, 'csi', 'spec.volumes');
    if (csi?.['driver'] !== DRIVER) return false;
    const attributes = csi['volumeAttributes'];
    const read = readVolumeAttributes(isObject(attributes) ? attributes : {});
    return 'volume' in read && read.volume.gives === 'live';
  });

function refusalsOf({ annotation, wants }: Setting, { policy, rules, subject, isLive }: Judge): readonly Finding[] {
  return wants.flatMap((want) => {
    const unknown = unknownClass(policy, { annotation, want });
    if (unknown) return unknown;
    const verdict = judgeWant(policy, rules, subject, { annotation, want, what: describeWant(want) });
    if ('perhaps' in verdict) throw new NamespaceLabelsUnknownError(subject.namespace, verdict.perhaps);
    if ('refusal' in verdict) return verdict.refusal;
    if (!isLive || !LIVE_KEYS.includes(annotation)) return [];
    const onNode = judgeLiveWant(policy, subject, { annotation, want, what: describeWant(want) });
    return 'refusal' in onNode ? onNode.refusal : [];
  });
}

/** What running pods can be given and lose, where they are live; `inject` takes it all away. */
const LIVE_KEYS: readonly string[] = [INJECT, 'hotmount.io/media', 'hotmount.io/devices'];
const FOR_ONE_CONTAINER = /^hotmount\.io\/(media|devices)\./;

function withoutEffect(annotation: string, { isLive }: Judge): readonly Finding[] {
  const couldBe = LIVE_KEYS.includes(annotation);
  if (couldBe && isLive) return [];
  if (couldBe) return [finding('pod_not_live', { annotation })];
  return isLive && FOR_ONE_CONTAINER.test(annotation)
    ? [finding('live_for_one_container', { annotation })]
    : [finding('live_no_effect', { annotation: quote(annotation) })];
}

/** A path that somebody has chosen means nothing to a pod that runs. */
function otherPaths({ annotation, wants }: Setting, { isLive }: Judge): readonly Finding[] {
  if (!isLive || !LIVE_KEYS.includes(annotation)) return [];
  return wants.filter(hasOtherPath).map((want) =>
    finding('live_path', {
      annotation,
      path: quote(want.path),
      place: `${want.feature}/${want.class}`,
    }),
  );
}

function hasOtherPath(want: Want): want is Extract<Want, { feature: 'media' | 'devices' }> {
  if (want.feature !== 'media' && want.feature !== 'devices') return false;
  const usual = parseValue(want.feature, want.class);
  return !('wants' in usual && usual.wants.some((other) => 'path' in other && other.path === want.path));
}
