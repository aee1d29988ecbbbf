import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  allowedBy,
  allows,
  matchingRules,
  type Policy,
  parsePolicy,
  policySchema,
  type Rule,
  type Subject,
} from '../../../src/policy/index.ts';
import { subject as anySubject, policyInput, want } from './arbitraries.ts';

const HEAD = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\n';
const policyOf = (rules: string): Policy => parsePolicy(`${HEAD}rules:\n${rules.replace(/^/gm, '  - ')}`);
const ruleWith = (allow: string): Rule => policyOf(`{ name: a, namespaces: ["*"], allow: ${allow} }`).rules[0] as Rule;

const subject = (given: Partial<Subject> = {}): Subject => ({
  namespace: 'edge-1',
  namespaceLabels: {},
  serviceAccount: 'copier',
  podLabels: {},
  runtimeClass: '',
  ...given,
});
const matching = (policy: Policy, given: Partial<Subject> = {}) =>
  matchingRules(policy, subject(given)).matching.map(({ name }) => name);
const undecided = (policy: Policy, given: Partial<Subject>) =>
  matchingRules(policy, subject(given)).undecided.map(({ name }) => name);

describe('the rules that speak about a pod', () => {
  it('are those of its namespace, in the policy’s order', () => {
    const policy = policyOf(
      '{ name: b, namespaces: ["edge-*"] }\n{ name: a, namespaces: ["*", "!kube-*"] }\n{ name: c, namespaces: [lab] }',
    );
    expect(matching(policy)).toEqual(['b', 'a']);
    expect(matching(policy, { namespace: 'kube-system' })).toEqual([]);
    expect(matching(policy, { namespace: 'lab' })).toEqual(['a', 'c']);
  });

  it('ask for all labels, each with a value that a glob matches, and a missing one never does', () => {
    const policy = policyOf(
      '{ name: all, namespaces: ["*"], podLabels: { app: "x*", tier: [a, b] } }\n{ name: any, namespaces: ["*"], podLabels: { app: "*" } }\n{ name: not, namespaces: ["*"], podLabels: { app: "!x" } }',
    );
    expect(matching(policy, { podLabels: { app: 'x1', tier: 'b' } })).toEqual(['all', 'any', 'not']);
    expect(matching(policy, { podLabels: { app: 'x' } })).toEqual(['any']);
    expect(matching(policy, { podLabels: {} })).toEqual([]);
  });

  it('never take a property of all objects for a label', () => {
    const policy = policyOf('{ name: a, namespaces: ["*"], podLabels: { constructor: "*" } }');
    expect(matching(policy)).toEqual([]);
    expect(matching(policy, { podLabels: { constructor: 'x' } })).toEqual(['a']);
  });

  it('take an unset service account for the one called default', () => {
    const policy = policyOf('{ name: a, namespaces: ["*"], serviceAccounts: [default] }');
    expect(matching(policy, { serviceAccount: '' })).toEqual(['a']);
    expect(matching(policy)).toEqual([]);
  });
});

describe('rules of runtime classes', () => {
  const policy = policyOf(
    '{ name: sandboxed, namespaces: ["*"], runtimeClasses: ["kata-*"] }\n{ name: others, namespaces: ["*"], runtimeClasses: ["!kata-*"] }',
  );

  it('speak about pods of these, and an exclusion about those of none', () => {
    expect(matching(policy, { runtimeClass: 'kata-qemu' })).toEqual(['sandboxed']);
    expect(matching(policy, { runtimeClass: 'runc' })).toEqual(['others']);
    expect(matching(policy)).toEqual(['others']);
  });
});

describe('labels of a namespace that are not known', () => {
  const policy = policyOf(
    '{ name: everyone, namespaces: ["*"] }\n{ name: red, namespaces: ["edge-*"], namespaceLabels: { team: red }, serviceAccounts: [copier], podLabels: { app: x } }',
  );
  const unknown = { namespaceLabels: undefined, podLabels: { app: 'x' } };

  it('leave the rules undecided that turn on them', () => {
    expect(matching(policy, unknown)).toEqual(['everyone']);
    expect(undecided(policy, unknown)).toEqual(['red']);
  });

  it.each([
    ['the namespace', { namespace: 'prod' }],
    ['the service account', { serviceAccount: 'other' }],
    ['the pod’s labels', { podLabels: {} }],
  ])('do not matter where %s rules it out anyway', (_, given) => {
    expect(matching(policy, { ...unknown, ...given })).toEqual(['everyone']);
    expect(undecided(policy, { ...unknown, ...given })).toEqual([]);
  });

  it('do not matter to a rule that asks nothing of them', () => {
    expect(matching(policyOf('{ name: a, namespaces: ["*"], namespaceLabels: {} }'), unknown)).toEqual(['a']);
  });
});

describe('a rule allows', () => {
  it.each([
    ['{ lxcfs: true }', { feature: 'lxcfs', views: undefined }, { feature: 'privileged' }],
    ['{ live: true }', { feature: 'live', path: '/x' }, { feature: 'media', class: 'usb', path: '/x', readOnly: true }],
    ['{ privileged: true }', { feature: 'privileged' }, { feature: 'capabilities', capability: 'SYS_ADMIN' }],
    [
      '{ capabilities: [NET_RAW] }',
      { feature: 'capabilities', capability: 'NET_RAW' },
      { feature: 'capabilities', capability: 'ALL' },
    ],
    ['{ capabilities: [ALL] }', { feature: 'capabilities', capability: 'BPF' }, { feature: 'privileged' }],
    [
      '{ propagation: [None] }',
      { feature: 'propagation', volume: 'v', mode: 'None' },
      { feature: 'propagation', volume: 'v', mode: 'HostToContainer' },
    ],
    ['{ dev: ["/host-*", "!/host-x"] }', { feature: 'dev', path: '/host-dev' }, { feature: 'dev', path: '/host-x' }],
    ['{ uevents: [udevd] }', { feature: 'uevents', access: 'udevd' }, { feature: 'uevents', access: 'udev' }],
    [
      '{ uevents: [udevd] }',
      { feature: 'uevents', access: 'udevd' },
      { feature: 'capabilities', capability: 'NET_ADMIN' },
    ],
  ] as const)('%s: exactly what it names', (allow, yes, no) => {
    expect(allows(ruleWith(allow), yes)).toBe(true);
    expect(allows(ruleWith(allow), no)).toBe(false);
  });

  it('classes by their name alone', () => {
    const policy = parsePolicy(
      `${HEAD}mediaClasses: [{ name: usb, match: [{ bus: [usb] }] }]\nrules: [{ name: a, namespaces: ["*"], allow: { media: [usb] } }]`,
    );
    const rule = policy.rules[0] as Rule;
    expect(allows(rule, { feature: 'media', class: 'usb', path: '/x', readOnly: false })).toBe(true);
    expect(allows(rule, { feature: 'media', class: 'us', path: '/x', readOnly: true })).toBe(false);
    expect(allows(rule, { feature: 'devices', class: 'usb', path: '/x' })).toBe(false);
  });
});

describe('properties', () => {
  /** The definition, word for word: no condition left out, no rule early. */
  function meets(rule: Rule, given: Subject): boolean | 'unknown' {
    const glob = (pattern: string, text: string) =>
      new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.').replaceAll('[!', '[^')}$`).test(text);
    const list = (patterns: readonly string[] | undefined, text: string) => {
      if (patterns === undefined) return true;
      const [no, yes] = [patterns.filter((p) => p.startsWith('!')), patterns.filter((p) => !p.startsWith('!'))];
      return (yes.length === 0 || yes.some((p) => glob(p, text))) && !no.some((p) => glob(p.slice(1), text));
    };
    const labels = (globs: Rule['podLabels'], has: Subject['podLabels']) =>
      Object.keys(globs ?? {}).every((key) => Object.keys(has).includes(key) && list(globs?.[key], has[key] ?? ''));
    const rest =
      list(rule.namespaces, given.namespace) &&
      list(rule.serviceAccounts, given.serviceAccount === '' ? 'default' : given.serviceAccount) &&
      list(rule.runtimeClasses, given.runtimeClass) &&
      labels(rule.podLabels, given.podLabels);
    if (!rest) return false;
    if (given.namespaceLabels !== undefined) return labels(rule.namespaceLabels, given.namespaceLabels);
    return Object.keys(rule.namespaceLabels ?? {}).length === 0 ? true : 'unknown';
  }

  it('rules match as the definition says', () => {
    fc.assert(
      fc.property(policyInput, anySubject, (input, given) => {
        const policy: Policy = policySchema.parse(input);
        const answers = policy.rules.map((rule) => meets(rule, given));
        expect(matchingRules(policy, given)).toEqual({
          matching: policy.rules.filter((_, index) => answers[index] === true),
          undecided: policy.rules.filter((_, index) => answers[index] === 'unknown'),
        });
      }),
      { numRuns: 2_000 },
    );
  });

  it('what is allowed is the union of the rules, and the first that allows it is named', () => {
    fc.assert(
      fc.property(policyInput, want, (input, wanted) => {
        const { rules }: Policy = policySchema.parse(input);
        const each = rules.map((rule) => allowedBy([rule], wanted) !== undefined);
        expect(allowedBy(rules, wanted)).toBe(rules[each.indexOf(true)]);
        expect(allowedBy(rules.slice(0, 1), wanted) !== undefined).toBe(each[0] ?? false);
      }),
      { numRuns: 1_000 },
    );
  });

  it('a policy whose rules allow nothing allows nothing', () => {
    fc.assert(
      fc.property(policyInput, want, (input, wanted) => {
        const { rules }: Policy = policySchema.parse({
          ...input,
          rules: input.rules?.map((r) => ({ ...r, allow: {} })),
        });
        expect(allowedBy(rules, wanted)).toBeUndefined();
      }),
    );
  });
});
