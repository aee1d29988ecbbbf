import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/contract/json.ts';
import { inject } from '../../../src/injection/index.ts';
import { type Policy, parsePolicy } from '../../../src/policy/index.ts';
import { RUNS, TIMEOUT } from './runs.ts';

/**
 * Who gets what, where an override, the pod's own annotation, what its workload carried, a default, an enforced default, the selection of
 * containers and `inject` all have a say: against a model that takes them from the weakest to the strongest. Capabilities stand for all
 * features, as they never get in each other's way.
 */

const KINDS = { app: 'regular', proxy: 'sidecar', setup: 'init' } as const;
type Name = keyof typeof KINDS;
const NAMES = Object.keys(KINDS) as Name[];
const SPEC = {
  containers: [{ name: 'app' }],
  initContainers: [{ name: 'proxy', restartPolicy: 'Always' }, { name: 'setup' }],
};

interface Say {
  readonly inject?: string;
  readonly containers?: string;
  readonly capabilities?: string;
  readonly overrides: Readonly<Partial<Record<Name, string>>>;
}
interface Rules {
  readonly byDefault: string | undefined;
  readonly enforced: string | undefined;
}

const value = fc.constantFrom('KILL', 'CHOWN,FOWNER', 'MKNOD', 'false');
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const say: fc.Arbitrary<Say> = fc
  .record({
    inject: fc.option(fc.constantFrom('true', 'false'), { nil: undefined, freq: 4 }),
    containers: optional(fc.constantFrom('app', 'setup', 'app,proxy', '*', 'proxy,*')),
    capabilities: optional(value),
    overrides: fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 2, noNullPrototype: true }),
  })
  .map((said) => Object.fromEntries(Object.entries(said).filter(([, v]) => v !== undefined)) as unknown as Say);

const annotations = ({ overrides, ...pod }: Say): Record<string, string> =>
  Object.fromEntries([
    ...Object.entries(pod).map(([key, text]) => [`hotmount.io/${key}`, text]),
    ...Object.entries(overrides).map(([name, text]) => [`hotmount.io/capabilities.${name}`, text]),
  ]);

const policyOf = ({ byDefault, enforced }: Rules): Policy =>
  parsePolicy(`
apiVersion: hotmount.io/v1alpha1
kind: Policy
rules:
  - { name: open, namespaces: ["*"], allow: { capabilities: [ALL] }${defaults(byDefault)} }
  - { name: late, namespaces: ["*"], allow: { capabilities: [ALL] }, defaults: { capabilities: SYSLOG } }
  - { name: strict, namespaces: ["*"], allow: { capabilities: [ALL] }, enforce: true${defaults(enforced)} }
`);
const defaults = (text: string | undefined): string =>
  text === undefined ? '' : `, defaults: { capabilities: "${text}" }`;

/** From the weakest to the strongest. */
function model(name: Name, own: Say, carried: Say, { byDefault, enforced }: Rules): readonly string[] {
  const selection = (own.containers ?? carried.containers)?.split(',');
  const isSelected = selection ? selection.includes('*') || selection.includes(name) : KINDS[name] !== 'init';
  let given = 'false';
  if (isSelected) given = byDefault ?? 'SYSLOG';
  if (isSelected) given = own.capabilities ?? carried.capabilities ?? given;
  given = own.overrides[name] ?? carried.overrides[name] ?? given;
  if ((own.inject ?? carried.inject) === 'false') given = 'false';
  if (KINDS[name] !== 'init') given = enforced ?? given;
  return given === 'false' ? [] : given.split(',');
}

describe('who gets what', () => {
  it('is as the order of precedence has it', { timeout: TIMEOUT }, () => {
    const rules = fc.record({ byDefault: optional(value), enforced: fc.option(value, { nil: undefined, freq: 2 }) });
    const run = fc.property(say, fc.option(say, { nil: { overrides: {} } }), rules, (own, carried, rules) => {
      const carriedAlong = annotations(carried);
      const pod: JsonObject = {
        metadata: {
          annotations: {
            ...annotations(own),
            ...(Object.keys(carriedAlong).length > 0 && { 'hotmount.io/from-workload': JSON.stringify(carriedAlong) }),
          },
        },
        spec: SPEC,
      };
      const context = { namespace: 'shop', namespaceLabels: { 'hotmount.io/defaults': 'enabled' } };
      const { summary, denials } = inject(pod, context, policyOf(rules));
      expect(denials).toEqual([]);
      const given = NAMES.map((name) => summary.entries.filter((e) => e.container === name).map(({ item }) => item));
      expect(given).toEqual(NAMES.map((name) => model(name, own, carried, rules)));
    });
    fc.assert(run, { numRuns: Math.min(RUNS, 5_000) });
  });
});
