import { type Finding, finding } from '../contract/reasons.ts';
import { didYouMeanOr, quote } from '../contract/suggest.ts';
import type { Want } from '../contract/wants.ts';
import { allowedBy, type Condition, type MatchingRules, type Subject, unmetConditions } from './evaluate.ts';
import { whoMay } from './hints.ts';
import type { Policy, Rule } from './policy.ts';

/** One thing that an annotation asks for. */
export interface WantQuestion {
  /** The whole key, as it goes into messages. */
  readonly annotation: string;
  readonly want: Want;
  /** The want in words, where it is not of a class. */
  readonly what: string;
}

/** The rule that gives it; why it is not given; or the rule that might, if labels that are not known are what it asks for. */
export type WantVerdict = { readonly rule: string } | { readonly refusal: Finding } | { readonly perhaps: string };

/** Why a want is refused whatever the rules say: the policy does not have its class. */
export function unknownClass(policy: Policy, { annotation, want }: Omit<WantQuestion, 'what'>): Finding | undefined {
  if (want.feature !== 'media' && want.feature !== 'devices') return undefined;
  const classes = want.feature === 'media' ? policy.mediaClasses : policy.deviceClasses;
  const known = classes.map(({ name }) => name);
  if (known.includes(want.class)) return undefined;
  const what = `the ${want.feature === 'media' ? 'media' : 'device'} class ${quote(want.class)}`;
  return finding('class_unknown', { annotation, what, hint: didYouMeanOr(want.class, known) });
}

/** Whether the rules let a subject have what an annotation asks for. */
export function judgeWant(
  policy: Policy,
  { matching, undecided }: MatchingRules,
  subject: Subject,
  question: WantQuestion,
): WantVerdict {
  const { want } = question;
  const rule = allowedBy(matching, want);
  if (rule) return { rule: rule.name };
  const perhaps = allowedBy(undecided, want);
  if (perhaps) return { perhaps: perhaps.name };
  return { refusal: notAllowed(policy, subject, question) };
}

/** That no rule allows it, and which would. */
export const notAllowed = (policy: Policy, subject: Subject, { annotation, want, what }: WantQuestion): Finding =>
  finding(`${want.feature}_not_allowed`, {
    annotation,
    what: quote('class' in want ? want.class : what),
    namespace: subject.namespace,
    serviceAccount: subject.serviceAccount || 'default',
    hint: whoMay(policy, want, subject),
  });

/** By what a node knows a pod. */
export type Account = Pick<Subject, 'namespace' | 'serviceAccount'>;

/**
 * Whether a node gives a running pod what its annotations ask for. Whoever wrote them may have done so past the webhook: a rule counts only
 * where the namespace and the service account meet it. Labels of pods are no boundary (docs/security.md), and count as met.
 */
export function judgeLiveWant(
  policy: Policy,
  account: Account,
  question: WantQuestion,
): { readonly rule: string } | { readonly refusal: Finding } {
  const { want, annotation, what } = question;
  const subject = subjectOf(account);
  const unmet = (rule: Rule): readonly Condition[] =>
    unmetConditions(rule, subject).filter((condition) => condition !== 'podLabels');
  const rule = allowedBy(
    policy.rules.filter((each) => unmet(each).length === 0),
    want,
  );
  if (rule) return { rule: rule.name };
  const perhaps = allowedBy(rulesByAccount(policy, account).rules.matching, want);
  if (!perhaps) return { refusal: notAllowed(policy, subject, question) };
  return {
    refusal: finding('live_rule_by_labels', {
      annotation,
      what: quote('class' in want ? want.class : what),
      rule: quote(perhaps.name),
      conditions: unmet(perhaps).join(' and '),
    }),
  };
}

const subjectOf = (account: Account): Subject => ({
  ...account,
  namespaceLabels: undefined,
  podLabels: {},
  runtimeClass: '',
});

/**
 * The rules where only the pod's namespace and service account are known, as on a node: one that turns on anything else may match, and what
 * it allows is not refused.
 */
export function rulesByAccount(
  policy: Policy,
  account: Account,
): { readonly rules: MatchingRules; readonly subject: Subject } {
  const subject = subjectOf(account);
  const perhaps = policy.rules.filter((rule) =>
    unmetConditions(rule, subject).every((condition) => !['namespaces', 'serviceAccounts'].includes(condition)),
  );
  return { rules: { matching: perhaps, undecided: [] }, subject };
}
