import { ALL_CAPABILITIES } from '../contract/capabilities.ts';
import type { Labels } from '../contract/json.ts';
import type { Want } from '../contract/wants.ts';
import { matchesGlobs } from './globs.ts';
import type { LabelGlobs, Policy, Rule } from './policy.ts';

/** The pod as rules see it. */
export interface Subject {
  readonly namespace: string;
  /** undefined: not known (yet), which is never the same as none. */
  readonly namespaceLabels: Labels | undefined;
  /** Empty where the pod names none: then it is `default`, as for the API server. */
  readonly serviceAccount: string;
  readonly podLabels: Labels;
  /** Empty where the pod names none. */
  readonly runtimeClass: string;
}

/** A rule turns on the namespace's labels, and they are not known: to go on would be to guess what the pod may have. */
export class NamespaceLabelsUnknownError extends Error {
  readonly namespace: string;
  readonly rule: string;

  constructor(namespace: string, rule: string) {
    super(`the labels of namespace ${namespace} are not known, and policy rule ${rule} depends on them`);
    this.name = 'NamespaceLabelsUnknownError';
    this.namespace = namespace;
    this.rule = rule;
  }
}

/** The conditions that a rule can have; one that it leaves out is met by every pod. */
export type Condition = 'namespaces' | 'namespaceLabels' | 'serviceAccounts' | 'podLabels' | 'runtimeClasses';

/** The rules that speak about a pod, in the policy's order: what is allowed is the union of their `allow`. */
export interface MatchingRules {
  readonly matching: readonly Rule[];
  /** Those of which it cannot be told, as all that is missing are the namespace's labels. */
  readonly undecided: readonly Rule[];
}

/** Labels of a namespace that are not known decide nothing: what turns on them alone is undecided. */
export function matchingRules(policy: Policy, subject: Subject): MatchingRules {
  const matching: Rule[] = [];
  const undecided: Rule[] = [];
  for (const rule of policy.rules) {
    const unmet = unmetConditions(rule, subject);
    if (unmet.length === 0) matching.push(rule);
    else if (unmet.length === 1 && unmet[0] === 'namespaceLabels' && subject.namespaceLabels === undefined) {
      undecided.push(rule);
    }
  }
  return { matching, undecided };
}

/** The rule's conditions that the pod does not meet. Labels that are not known meet none, save where nothing is asked of them. */
export function unmetConditions(rule: Rule, subject: Subject): readonly Condition[] {
  const met: Readonly<Record<Condition, boolean>> = {
    namespaces: matchesGlobs(rule.namespaces, subject.namespace),
    namespaceLabels: matchesLabels(rule.namespaceLabels, subject.namespaceLabels),
    serviceAccounts:
      rule.serviceAccounts === undefined || matchesGlobs(rule.serviceAccounts, subject.serviceAccount || 'default'),
    podLabels: matchesLabels(rule.podLabels, subject.podLabels),
    runtimeClasses: rule.runtimeClasses === undefined || matchesGlobs(rule.runtimeClasses, subject.runtimeClass),
  };
  return (Object.keys(met) as Condition[]).filter((condition) => !met[condition]);
}

/** Whether this rule alone, where it matches, lets a pod have what it wants. */
export function allows({ allow }: Pick<Rule, 'allow'>, want: Want): boolean {
  switch (want.feature) {
    case 'lxcfs':
      return allow.lxcfs;
    case 'privileged':
      return allow.privileged;
    case 'live':
      return allow.live;
    case 'media':
      return allow.media.includes(want.class);
    case 'devices':
      return allow.devices.includes(want.class);
    case 'dev':
      return matchesGlobs(allow.dev, want.path);
    case 'propagation':
      return allow.propagation.includes(want.mode);
    case 'capabilities':
      return allow.capabilities.includes(want.capability) || allow.capabilities.includes(ALL_CAPABILITIES);
    // One word for all that it takes: udev and udevd need no further permission for the mounts and capabilities they bring along.
    case 'uevents':
      return allow.uevents.includes(want.access);
  }
}

/** Whether a rule gives anything to pods that do not ask. */
export const hasDefaults = ({ defaults }: Pick<Rule, 'defaults'>): boolean => Object.keys(defaults).length > 0;

/** The first of the rules that allows it. */
export const allowedBy = (rules: readonly Rule[], want: Want): Rule | undefined =>
  rules.find((rule) => allows(rule, want));

/** A label that is not there matches nothing, not even `*` or an exclusion. */
function matchesLabels(globs: LabelGlobs | undefined, labels: Labels | undefined): boolean {
  return Object.entries(globs ?? {}).every(([key, patterns]) => {
    const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
    return value !== undefined && matchesGlobs(patterns, value);
  });
}
