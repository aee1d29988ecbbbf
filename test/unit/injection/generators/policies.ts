import fc from 'fast-check';
import { FEATURES } from '../../../../src/contract/annotations.ts';
import type { Labels } from '../../../../src/contract/json.ts';
import { parseValue } from '../../../../src/contract/wants.ts';
import type { Context } from '../../../../src/injection/index.ts';
import { type Allow, allows, type Policy, type Rule } from '../../../../src/policy/index.ts';
import { VALID } from './annotations.ts';
import { DEVICES, MEDIA, object, pick, seldom } from './basics.ts';

const globsOf = (...all: string[]) => fc.uniqueArray(pick(...all), { minLength: 1, maxLength: 3 });
const some = <T>(...items: readonly T[]) => fc.subarray([...items]);

const EVERYTHING: Allow = {
  lxcfs: true,
  privileged: true,
  live: true,
  media: MEDIA,
  devices: DEVICES,
  dev: ['*'],
  propagation: ['None', 'HostToContainer', 'Bidirectional'],
  capabilities: ['ALL'],
  uevents: ['kernel', 'udev', 'udevd'],
};
const allow: fc.Arbitrary<Allow> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(EVERYTHING) },
  { weight: 1, arbitrary: fc.constant({ ...EVERYTHING, privileged: false, dev: [] }) },
  {
    weight: 1,
    arbitrary: fc.record<Allow>({
      lxcfs: fc.boolean(),
      privileged: fc.boolean(),
      live: fc.boolean(),
      media: some(...MEDIA),
      devices: some(...DEVICES),
      dev: some('/host-dev', '/x*', '!/media/*', '*'),
      propagation: some('None', 'HostToContainer', 'Bidirectional'),
      capabilities: some('NET_ADMIN', 'SYS_ADMIN', 'ALL', 'CHOWN'),
      uevents: some('kernel', 'udev', 'udevd'),
    }),
  },
);

/** No more than the rule itself allows, as the policy's own check demands. */
const defaultsWithin = (allowed: Allow): fc.Arbitrary<Rule['defaults']> =>
  fc
    .array(
      pick(...FEATURES).chain((feature) => fc.tuple(fc.constant(feature), VALID[feature])),
      { maxLength: 3 },
    )
    .map((defaults) => {
      const within = defaults.filter(([feature, value]) => {
        const parsed = parseValue(feature, value);
        return 'wants' in parsed && parsed.wants.every((want) => allows({ allow: allowed }, want));
      });
      return Object.fromEntries(within);
    });

const rule = (name: string): fc.Arbitrary<Rule> =>
  allow.chain((allowed) =>
    fc.record(
      {
        name: fc.constant(name),
        namespaces: fc.oneof(
          { weight: 3, arbitrary: fc.constant(['*']) },
          { weight: 1, arbitrary: globsOf('shop', 'edge-*', '!kube-*') },
        ),
        allow: fc.constant(allowed),
        defaults: fc.oneof(
          { weight: 1, arbitrary: fc.constant({}) },
          { weight: 1, arbitrary: defaultsWithin(allowed) },
        ),
        enforce: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
        namespaceLabels: seldom(fc.constant({ team: ['a*'] })),
        serviceAccounts: seldom(globsOf('copier', 'default', '!default')),
        podLabels: seldom(fc.constant({ app: ['web'] })),
        runtimeClasses: seldom(globsOf('runc', '!kata-*')),
      },
      { noNullPrototype: true },
    ),
  );

/** Policies as they come out of the parser: consistent in themselves. */
export const policies: fc.Arbitrary<Policy> = fc.record(
  {
    onConflict: fc.constantFrom('deny' as const, 'keep' as const),
    scheduleBy: fc.constantFrom('label' as const, 'resource' as const),
    onViolation: pick('deny', 'deny', 'warn'),
    lxcfs: fc.record({
      views: pick(['meminfo', 'cpuinfo'] as const, ['meminfo'] as const, ['cpu', 'stat'] as const),
      onUntrue: fc.constantFrom('keep' as const, 'node' as const),
    }),
    mediaClasses: fc.constant(
      MEDIA.map((name) => ({ name, match: [], mount: { readOnly: false, options: [], nameBy: ['label'] as const } })),
    ),
    deviceClasses: fc.constant(
      DEVICES.map((name, i) => ({
        name,
        match: [],
        access: 'rw' as const,
        mode: i === 0 ? 0o660 : 0o666,
        uid: 0,
        gid: 0,
      })),
    ),
    rules: fc
      .constantFrom(0, 1, 1, 2, 2, 3)
      .chain((count) => fc.tuple(...Array.from({ length: count }, (_, i) => rule(`rule-${i}`)))),
  },
  { noNullPrototype: true },
);

const namespaceLabels: fc.Arbitrary<Labels> = object({
  'hotmount.io/defaults': fc.oneof(
    { weight: 4, arbitrary: pick('enabled') },
    { weight: 1, arbitrary: pick(undefined, 'disabled') },
  ),
  'pod-security.kubernetes.io/enforce': pick(undefined, undefined, 'privileged', 'baseline', 'restricted', 'nonsense'),
  team: pick(undefined, 'alpha', 'beta'),
}) as fc.Arbitrary<Labels>;

/** `namespaceLabels` known; the case of unknown ones has a test of its own. */
export const contexts: fc.Arbitrary<Context & { namespaceLabels: Labels }> = fc.record({
  namespace: pick('shop', 'edge-1', 'kube-system'),
  namespaceLabels,
  volumes: pick('csi', 'hostPath'),
});
