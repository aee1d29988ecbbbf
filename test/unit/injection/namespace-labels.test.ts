import { expect, it } from 'vitest';
import { inject } from '../../../src/injection/index.ts';
import { NamespaceLabelsUnknownError, parsePolicy } from '../../../src/policy/index.ts';

const policy = parsePolicy(`
apiVersion: hotmount.io/v1alpha1
kind: Policy
rules:
  - { name: everyone, namespaces: ["*"], allow: { lxcfs: true } }
  - { name: gpu, namespaces: ["*"], namespaceLabels: { team: gpu }, allow: { lxcfs: true, privileged: true } }
`);
const unknown = { namespace: 'shop', namespaceLabels: undefined };
const podThatAsks = (annotations: Record<string, string>) => ({
  metadata: { annotations },
  spec: { containers: [{ name: 'app' }] },
});

it('decides without labels what does not turn on them', () => {
  const { denials, summary } = inject(podThatAsks({ 'hotmount.io/lxcfs': 'meminfo' }), unknown, policy);
  expect(denials).toEqual([]);
  expect(summary.rules).toEqual(['everyone']);
});

it('asks for labels where only a rule that turns on them might allow it', () => {
  const ask = () => inject(podThatAsks({ 'hotmount.io/privileged': 'true' }), unknown, policy);
  expect(ask).toThrow(NamespaceLabelsUnknownError);
  expect(ask).toThrow('the labels of namespace shop are not known, and policy rule gpu depends on them');
});

it('denies without labels what no rule allows in any namespace', () => {
  const { denials } = inject(podThatAsks({ 'hotmount.io/capabilities': 'SYS_ADMIN' }), unknown, policy);
  expect(denials.map(({ reason }) => reason)).toEqual(['capabilities_not_allowed']);
});

it('asks for labels where a rule has defaults, which only labelled namespaces get', () => {
  const withDefault = parsePolicy(`
apiVersion: hotmount.io/v1alpha1
kind: Policy
rules:
  - { name: team, namespaces: ["*"], allow: { lxcfs: true }, defaults: { lxcfs: "true" } }
`);
  expect(() => inject(podThatAsks({}), unknown, withDefault)).toThrow('policy rule team depends on them');
});
