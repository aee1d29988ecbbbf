import { quote } from '../contract/suggest.ts';
import { enumerate } from '../contract/text.ts';
import type { Want } from '../contract/wants.ts';
import { allows, type Condition, type Subject, unmetConditions } from './evaluate.ts';
import { escapeGlob } from './globs.ts';
import type { LabelGlobs, Policy, Rule } from './policy.ts';

/**
 * How a denial ends: `; rule "edge" would, for namespaces edge-* and service account copier` where the policy has a rule that would
 * allow it to other pods (the one that this pod is nearest to), else what an admin would write. One short line; never throws.
 */
export function whoMay(policy: Policy, want: Want, subject: Subject): string {
  const nearest = policy.rules
    .filter((rule) => allows(rule, want))
    .map((rule) => ({ rule, unmet: unmetConditions(rule, subject) }))
    .reduce<{ rule: Rule; unmet: readonly Condition[] } | undefined>(
      (best, candidate) => (best === undefined || candidate.unmet.length < best.unmet.length ? candidate : best),
      undefined,
    );
  if (nearest === undefined) return `; an admin can allow it with "${allowSnippet(want)}" in a rule for this namespace`;
  if (nearest.unmet.length === 0) return '';
  const conditions = nearest.unmet.map((condition) => describeCondition(nearest.rule, condition));
  return `; rule ${quote(nearest.rule.name)} would, for ${enumerate(conditions, 'and')}`;
}

/** What allows the want, as a rule of policy.yaml says it: `allow: {media: [usb]}`. */
export function allowSnippet(want: Want): string {
  const { key, item } = permission(want);
  return `allow: {${key}: ${item === undefined ? 'true' : `[${yamlItem(item)}]`}}`;
}

function permission(want: Want): { key: string; item?: string } {
  switch (want.feature) {
    case 'lxcfs':
    case 'privileged':
    case 'live':
      return { key: want.feature };
    case 'media':
    case 'devices':
      return { key: want.feature, item: want.class };
    case 'dev':
      return { key: 'dev', item: escapeGlob(want.path) };
    case 'propagation':
      return { key: 'propagation', item: want.mode };
    case 'capabilities':
      return { key: 'capabilities', item: want.capability };
    case 'uevents':
      return { key: 'uevents', item: want.access };
  }
}

function describeCondition(rule: Rule, condition: Condition): string {
  switch (condition) {
    case 'namespaces':
      return `namespaces ${short(rule.namespaces)}`;
    case 'namespaceLabels':
      return `namespaces labelled ${labels(rule.namespaceLabels)}`;
    case 'serviceAccounts':
      return `service ${rule.serviceAccounts?.length === 1 ? 'account' : 'accounts'} ${short(rule.serviceAccounts)}`;
    case 'podLabels':
      return `pods labelled ${labels(rule.podLabels)}`;
    case 'runtimeClasses':
      return `runtime ${rule.runtimeClasses?.length === 1 ? 'class' : 'classes'} ${short(rule.runtimeClasses)}`;
  }
}

const labels = (globs: LabelGlobs = {}): string =>
  short(Object.entries(globs).map(([key, patterns]) => `${key}=${patterns.join('|')}`));

const SHOWN = 3;
function short(items: readonly string[] = []): string {
  const shown = items.slice(0, SHOWN).map((item) => (item.length > 80 ? `${item.slice(0, 77)}…` : item));
  return [...shown, ...(items.length > SHOWN ? ['…'] : [])].join(', ');
}

/** In single quotes where a plain scalar in a flow list would not be that text. */
function yamlItem(item: string): string {
  const cut = item.length > 80 ? `${item.slice(0, 77)}…` : item;
  return /^[/A-Za-z][-/A-Za-z0-9_.]*$/.test(cut) ? cut : `'${cut.replaceAll("'", "''")}'`;
}
