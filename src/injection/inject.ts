import { FEATURES } from '../contract/annotations.ts';
import { isObject, type JsonObject, type Labels } from '../contract/json.ts';
import { type Finding, isDenial, type Reason } from '../contract/reasons.ts';
import { type Request, readRequest } from '../contract/request.ts';
import type { VolumeKind } from '../contract/volumes.ts';
import {
  hasDefaults,
  type MatchingRules,
  matchingRules,
  NamespaceLabelsUnknownError,
  type Policy,
  type Rule,
  type Subject,
} from '../policy/index.ts';
import { containersOf } from './containers.ts';
import { type Entry, grant } from './grant.ts';
import { type Defaults, defaultsOf, intentOf } from './intent.ts';
import { PodDraft } from './pod-draft.ts';
import { podSecurityWarnings } from './pod-security.ts';
import { withSchedule } from './schedule.ts';
import { labelsIn, ObjectError, objectIn, objectsIn, stringIn } from './shape.ts';
import { withoutStatus, withStatus } from './status.ts';
import { onMountedVolumes } from './volumes.ts';

/** What decides besides the pod itself. */
export interface Context {
  readonly namespace: string;
  /** undefined: not known, which is never the same as none. */
  readonly namespaceLabels: Labels | undefined;
  /** How volumes are written that are added; left out: csi. */
  readonly volumes?: VolumeKind | undefined;
}

export interface InjectResult {
  /** The very same object where nothing was to be done, or where it is denied. */
  readonly pod: JsonObject;
  readonly warnings: readonly Finding[];
  /** Not empty: the pod must not be created. */
  readonly denials: readonly Finding[];
  readonly summary: Summary;
}

export interface Summary {
  readonly outcome: Reason;
  readonly entries: readonly Entry[];
  /** The policy rules that gave something, in the policy's order. */
  readonly rules: readonly string[];
}

/**
 * The kubelet's API object of a static pod; any change of it is lost or refused. The kubelet makes its node the owner
 * (pkg/kubelet/pod/mirror_client.go); the annotation alone, which anybody can write, is no way around the policy.
 */
const isMirror = (metadata: JsonObject, annotations: JsonObject): boolean =>
  Object.hasOwn(annotations, 'kubernetes.io/config.mirror') &&
  objectsIn(metadata, 'ownerReferences', 'metadata').some(({ kind }) => kind === 'Node');

/**
 * Gives a pod what its annotations ask for and the policy allows. Pure: the same arguments, the same result; everything that is not
 * changed is the same object in the result. Throws ObjectError where the pod is malformed, and NamespaceLabelsUnknownError where the
 * answer depends on labels that are not known; nothing else.
 */
export function inject(pod: unknown, context: Context, policy: Policy): InjectResult {
  if (!isObject(pod)) throw new ObjectError('pod', 'an object', pod);
  const metadata = objectIn(pod, 'metadata', '') ?? {};
  const annotations = objectIn(metadata, 'annotations', 'metadata') ?? {};
  if (isMirror(metadata, annotations)) return { ...nothing(pod, 'mirror_pod'), pod };

  const request = readRequest(annotations);
  const mayDefault = (rule: Rule) => hasDefaults(rule) && (request.inject || rule.enforce);
  if (asksForNothing(request) && !policy.rules.some(mayDefault)) {
    return nothing(pod, request.inject ? 'not_requested' : 'opted_out');
  }

  const spec = objectIn(pod, 'spec', '');
  if (!spec) throw new ObjectError('spec', 'an object', pod['spec'] ?? null);
  const subject = subjectOf(metadata, spec, context);
  const rules = matchingRules(policy, subject);
  const containers = containersOf(spec);
  const intent = intentOf(request, containers, defaultsFor(rules, mayDefault, request, context), policy);
  const draft = new PodDraft(pod, containers, context.volumes ?? 'csi');
  const onMounted = onMountedVolumes(intent.asks, draft);
  const granted = grant(onMounted.asks, { policy, rules, subject, draft });
  const findings = distinct([...intent.findings, ...onMounted.findings, ...granted.findings]);

  const denies = ({ reason }: Finding) => isDenial(reason, policy.onViolation);
  const denials = findings.filter(denies);
  const told = findings.filter((found) => !denies(found));
  if (denials[0]) {
    return { pod, warnings: told, denials, summary: { outcome: denials[0].reason, entries: [], rules: [] } };
  }
  const warnings = [...told, ...podSecurityWarnings(granted.exposures, context.namespace, context.namespaceLabels)];
  if (granted.entries.length === 0 && warnings.length === 0) {
    return nothing(pod, request.inject ? 'not_requested' : 'opted_out');
  }

  const used = new Set(granted.entries.map(({ rule }) => rule));
  const ruleNames = rules.matching.map(({ name }) => name).filter((name) => used.has(name));
  return {
    pod: withStatus(
      request.schedule ? withSchedule(granted.pod, granted.entries, policy) : granted.pod,
      granted.entries,
      ruleNames,
      warnings,
    ),
    warnings,
    denials,
    summary: {
      outcome: granted.entries.length > 0 ? 'injected' : 'nothing_granted',
      entries: granted.entries,
      rules: ruleNames,
    },
  };
}

/** The pod as it came, but for a status from an earlier life, which would lie. */
const nothing = (pod: JsonObject, outcome: Reason): InjectResult => ({
  pod: withoutStatus(pod),
  warnings: [],
  denials: [],
  summary: { outcome, entries: [], rules: [] },
});

const asksForNothing = (request: Request): boolean =>
  !request.inject ||
  (request.containers === undefined &&
    request.features.size === 0 &&
    request.overrides.size === 0 &&
    request.findings.length === 0);

/** The pod as rules see it. Throws ObjectError. */
export function subjectOf(metadata: JsonObject, spec: JsonObject, context: Context): Subject {
  return {
    namespace: context.namespace,
    namespaceLabels: context.namespaceLabels,
    serviceAccount:
      stringIn(spec, 'serviceAccountName', 'spec') ?? stringIn(spec, 'serviceAccount', 'spec') ?? 'default',
    podLabels: labelsIn(metadata, 'labels', 'metadata'),
    runtimeClass: stringIn(spec, 'runtimeClassName', 'spec') ?? '',
  };
}

function defaultsFor(
  { matching, undecided }: MatchingRules,
  mayDefault: (rule: Rule) => boolean,
  { features }: Request,
  { namespace, namespaceLabels }: Context,
): Defaults {
  if (namespaceLabels !== undefined) return defaultsOf(matching.filter(mayDefault), namespaceLabels);
  // Both reach the containers selected: where the pod says itself what these get of a feature, its default reaches none.
  const isOverruled = (rule: Rule) => !rule.enforce && FEATURES.every((f) => !(f in rule.defaults) || features.has(f));
  const first = [...matching, ...undecided].find((rule) => mayDefault(rule) && !isOverruled(rule));
  if (first) throw new NamespaceLabelsUnknownError(namespace, first.name);
  return defaultsOf([], {});
}

const distinct = (findings: readonly Finding[]): readonly Finding[] => [
  ...new Map(findings.map((found) => [found.message, found])).values(),
];
