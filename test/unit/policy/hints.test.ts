import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normalizePath, pathProblem } from '../../../src/contract/paths.ts';
import { PROPAGATION_MODES, type Want } from '../../../src/contract/wants.ts';
import { allows, parsePolicy, policySchema, whoMay } from '../../../src/policy/index.ts';
import { subject as anySubject, policyInput, want } from './arbitraries.ts';

const HEAD = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\n';
const EDGE = parsePolicy(`${HEAD}
mediaClasses: [{ name: usb, match: [{ bus: [usb] }] }]
rules:
  - name: edge
    namespaces: ["edge-*"]
    namespaceLabels: { tier: [gold, silver] }
    serviceAccounts: [copier, sync]
    podLabels: { app: "copy*" }
    runtimeClasses: [runc]
    allow: { media: [usb], dev: [/host-dev], capabilities: [NET_RAW] }
  - name: lab
    namespaces: [lab-a, lab-b, lab-c, lab-d, "!lab-x"]
    allow: { dev: [/host-dev] }
`);
const usb: Want = { feature: 'media', class: 'usb', path: '/media/usb', readOnly: false };
const inside = {
  namespace: 'edge-1',
  namespaceLabels: { tier: 'gold' },
  serviceAccount: 'copier',
  podLabels: { app: 'copy' },
  runtimeClass: 'runc',
};

describe('a denial says who may', () => {
  it('by the conditions of the rule that the pod does not meet', () => {
    const hint = (given: Partial<typeof inside>) => whoMay(EDGE, usb, { ...inside, ...given });
    expect(hint({ namespace: 'web' })).toBe('; rule "edge" would, for namespaces edge-*');
    expect(hint({ serviceAccount: 'x' })).toBe('; rule "edge" would, for service accounts copier, sync');
    expect(hint({ runtimeClass: '' })).toBe('; rule "edge" would, for runtime class runc');
    expect(hint({ podLabels: { app: 'x' } })).toBe('; rule "edge" would, for pods labelled app=copy*');
    expect(hint({ namespace: 'web', namespaceLabels: { tier: 'tin' }, serviceAccount: '' })).toBe(
      '; rule "edge" would, for namespaces edge-*, namespaces labelled tier=gold|silver and service accounts copier, sync',
    );
    expect(whoMay(EDGE, usb, { ...inside, namespaceLabels: undefined })).toContain('labelled tier=gold|silver');
  });

  it('by the rule that the pod is nearest to, with long lists cut', () => {
    const dev: Want = { feature: 'dev', path: '/host-dev' };
    expect(whoMay(EDGE, dev, { ...inside, namespace: 'web', serviceAccount: 'x' })).toBe(
      '; rule "lab" would, for namespaces lab-a, lab-b, lab-c, …',
    );
  });

  it('by what an admin would write where no rule allows it', () => {
    const snippets: [Want, string][] = [
      [{ feature: 'lxcfs', views: ['cpu'] }, 'lxcfs: true'],
      [{ feature: 'privileged' }, 'privileged: true'],
      [{ feature: 'live', path: '/hotmount' }, 'live: true'],
      [{ feature: 'devices', class: 'serial', path: '/dev/x' }, 'devices: [serial]'],
      [{ feature: 'propagation', volume: 'v', mode: 'HostToContainer' }, 'propagation: [HostToContainer]'],
      [{ feature: 'capabilities', capability: 'SYS_ADMIN' }, 'capabilities: [SYS_ADMIN]'],
      [{ feature: 'uevents', access: 'udevd' }, 'uevents: [udevd]'],
      [{ feature: 'dev', path: '/my-dev' }, 'dev: [/my-dev]'],
      [{ feature: 'dev', path: "/it's a [dev]" }, "dev: ['/it''s a \\[dev\\]']"],
    ];
    for (const [wanted, snippet] of snippets) {
      expect(whoMay(EDGE, wanted, inside)).toBe(
        `; an admin can allow it with "allow: {${snippet}}" in a rule for this namespace`,
      );
    }
  });

  it('and nothing where the pod may have it already', () => {
    expect(whoMay(EDGE, usb, inside)).toBe('');
  });
});

describe('properties', () => {
  it('the hint is one short line, for any policy and any pod', () => {
    fc.assert(
      fc.property(policyInput, want, anySubject, (input, wanted, given) => {
        const hint = whoMay(policySchema.parse(input), wanted, given);
        expect(hint).toMatch(/^(; \S.*)?$/);
        expect(hint.length).toBeLessThan(600);
      }),
      { numRuns: 1_000 },
    );
  });

  it('what it tells an admin to write does allow it', () => {
    const path = fc
      .stringMatching(/^\/[ -9;-~äß🦊]{1,60}$/u)
      .filter((text) => pathProblem(text) === undefined)
      .map(normalizePath);
    const anyWant: fc.Arbitrary<Want> = fc.oneof(
      want.filter(({ feature }) => feature !== 'media' && feature !== 'devices'),
      fc.record({ feature: fc.constant('dev' as const), path }),
      fc.record({
        feature: fc.constant('propagation' as const),
        volume: fc.string(),
        mode: fc.constantFrom(...PROPAGATION_MODES),
      }),
    );
    const nothing = parsePolicy(HEAD);
    fc.assert(
      fc.property(anyWant, (wanted) => {
        const [, snippet] = /"(allow: .*)" in a rule/.exec(whoMay(nothing, wanted, inside)) ?? [];
        const policy = parsePolicy(`${HEAD}rules:\n  - name: a\n    namespaces: ["*"]\n    ${snippet}\n`);
        expect(allows(policy.rules[0] as (typeof policy.rules)[0], wanted)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
