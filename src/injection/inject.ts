import type { Feature } from '../contract/annotations.ts';
import { isObject, type JsonObject, type Labels } from '../contract/json.ts';
import { type Finding, finding, isDenial, type Reason } from '../contract/reasons.ts';
import { matchingRules, NamespaceLabelsUnknownError, type Policy, type Rule, type Subject } from '../policy/index.ts';
import { type Container, containersOf } from './containers.ts';
import { type Circumstances, type Decision, decide } from './decision.ts';
import { applyWant, Conflict, describeWant, type Exposure, exposuresOf } from './features/index.ts';
import { type Ask, type Defaults, defaultsOf, hasDefaults, intentOf } from './intent.ts';
import { PodDraft } from './pod-draft.ts';
import { podSecurityWarnings } from './pod-security.ts';
import { type Request, readRequest } from './request.ts';
import { labelsIn, ObjectError, objectIn, stringIn } from './shape.ts';
import { withoutStatus, withStatus } from './status.ts';
import { onMountedVolumes } from './volumes.ts';

/** What decides besides the pod itself. */
export interface Context {
  readonly namespace: string;
  /** undefined: not known, which is never the same as none. */
  readonly namespaceLabels: Labels | undefined;
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

/** One thing that one container has through hotmount. */
export interface Entry {
  readonly container: string;
  readonly feature: Feature;
  /** As the annotation's own grammar writes it. */
  readonly item: string;
  readonly rule: string;
}

/** The kubelet's mark on the API object of a static pod; any change of it is lost or refused. */
const MIRROR = 'kubernetes.io/config.mirror';

/**
 * Gives a pod what its annotations ask for and the policy allows. Pure: the same arguments, the same result; everything that is not
 * changed is the same object in the result. Throws ObjectError where the pod is malformed, and NamespaceLabelsUnknownError where the
 * answer depends on labels that are not known; nothing else.
 */
export function inject(pod: unknown, context: Context, policy: Policy): InjectResult {
  if (!isObject(pod)) throw new ObjectError('pod', 'an object', pod);
  const metadata = objectIn(pod, 'metadata', '') ?? {};
  const annotations = objectIn(metadata, 'annotations', 'metadata') ?? {};
  if (Object.hasOwn(annotations, MIRROR)) return { ...nothing(pod, 'mirror_pod'), pod };

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
  const intent = intentOf(request, containers, defaultsFor(rules.filter(mayDefault), context), policy);
  const draft = new PodDraft(pod, containers);
  const onMounted = onMountedVolumes(intent.asks, draft);
  const granted = grant(draft, onMounted.asks, { policy, rules, subject, spec });
  const findings = distinct([...intent.findings, ...onMounted.findings, ...granted.findings]);

  const denies = ({ reason }: Finding) => isDenial(reason, policy.onViolation);
  const denials = findings.filter(denies);
  const warnings = [
    ...findings.filter((found) => !denies(found)),
    ...podSecurityWarnings(granted.exposures, context.namespace, context.namespaceLabels),
  ];
  if (denials[0]) return { pod, warnings, denials, summary: { outcome: denials[0].reason, entries: [], rules: [] } };
  if (granted.entries.length === 0 && warnings.length === 0) {
    return nothing(pod, request.inject ? 'not_requested' : 'opted_out');
  }

  const used = new Set(granted.entries.map(({ rule }) => rule));
  const ruleNames = rules.map(({ name }) => name).filter((name) => used.has(name));
  return {
    pod: withStatus(granted.pod, granted.entries, ruleNames, warnings),
    warnings,
    denials,
    summary: {
      outcome: granted.entries.length > 0 ? 'injected' : 'nothing_granted',
      entries: granted.entries,
      rules: ruleNames,
    },
  };
}

interface Granted {
  readonly pod: JsonObject;
  readonly entries: readonly Entry[];
  readonly exposures: readonly Exposure[];
  readonly findings: readonly Finding[];
}

/** Gives one ask after the other, each as a whole or not at all. A default that cannot be had is skipped, whatever the reason. */
function grant(draft: PodDraft, asks: readonly Ask[], circumstances: Circumstances): Granted {
  const entries: Entry[] = [];
  const exposures: Exposure[] = [];
  const findings: Finding[] = [];
  const mayNotBePrivileged = new Set<Container>();
  for (const ask of asks) {
    const given = give(draft, ask, circumstances);
    if ('refusal' in given) {
      const { reason } = given.refusal;
      if (reason === 'privileged_not_allowed') mayNotBePrivileged.add(ask.container);
      const falls = reason === 'bidirectional_needs_privileged' && mayNotBePrivileged.has(ask.container);
      const refusal = falls ? bidirectionalNotAllowed(ask) : given.refusal;
      findings.push(ask.defaultOf === undefined ? refusal : skipped(ask.annotation, ask.defaultOf, refusal));
      continue;
    }
    const { container, want } = ask;
    exposures.push(...exposuresOf(want));
    entries.push({ container: container.name, feature: want.feature, item: describeWant(want), rule: given.rule });
  }
  return { pod: draft.build(), entries, exposures, findings };
}

function give(draft: PodDraft, ask: Ask, circumstances: Circumstances): Decision {
  const decision = decide(ask, circumstances);
  if ('refusal' in decision) return decision;
  try {
    applyWant(draft, ask.container, ask.want, ask.annotation);
    return decision;
  } catch (error) {
    if (error instanceof Conflict) return { refusal: error.finding };
    throw error;
  }
}

/** What the policy refuses takes along what depends on it, as a refusal: under onViolation warn, the pod is admitted without both. */
const bidirectionalNotAllowed = ({ annotation, container, want }: Ask): Finding =>
  finding('bidirectional_not_allowed', {
    annotation,
    container: container.name,
    volume: want.feature === 'propagation' ? want.volume : '',
  });

const skipped = (annotation: string, rule: string, { cause }: Finding): Finding =>
  finding('default_skipped', { annotation, rule, why: cause });

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

function subjectOf(metadata: JsonObject, spec: JsonObject, context: Context): Subject {
  return {
    namespace: context.namespace,
    namespaceLabels: context.namespaceLabels,
    serviceAccount:
      stringIn(spec, 'serviceAccountName', 'spec') ?? stringIn(spec, 'serviceAccount', 'spec') ?? 'default',
    podLabels: labelsIn(metadata, 'labels', 'metadata'),
  };
}

function defaultsFor(rules: readonly Rule[], { namespace, namespaceLabels }: Context): Defaults {
  const first = rules.find(hasDefaults);
  if (first && namespaceLabels === undefined) throw new NamespaceLabelsUnknownError(namespace, first.name);
  return defaultsOf(rules, namespaceLabels ?? {});
}

const distinct = (findings: readonly Finding[]): readonly Finding[] => [
  ...new Map(findings.map((found) => [found.message, found])).values(),
];
