import fc from 'fast-check';
import { CAPABILITIES } from '../../../src/contract/capabilities.ts';
import { LXCFS_VIEW_NAMES, PROPAGATION_MODES, UEVENT_ACCESS, type Want } from '../../../src/contract/wants.ts';
import type { PolicyInput, Subject } from '../../../src/policy/index.ts';

/** Small alphabets, so that rules and subjects often meet. */
export const names = ['edge-a', 'edge-b', 'lab', 'kube-system', 'default'] as const;
const glob = fc.constantFrom(...names, '*', 'edge-*', '?ab', '[a-k]*', '!kube-*', '!lab', '!edge-[!a]');
const globs = fc.array(glob, { minLength: 1, maxLength: 3 });
const labelKey = fc.constantFrom('app', 'tier', 'kubernetes.io/metadata.name', 'constructor');
const labelGlobs = fc.dictionary(labelKey, fc.oneof(glob, globs), { maxKeys: 2 });
const classNames = ['usb', 'serial', 'x'] as const;

const some = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 3 });
const maybe = { requiredKeys: [] as [] };

const allow = fc.record(
  {
    lxcfs: fc.boolean(),
    privileged: fc.boolean(),
    live: fc.boolean(),
    media: some(fc.constantFrom(...classNames)),
    devices: some(fc.constantFrom(...classNames)),
    dev: some(fc.constantFrom('/host-dev', '/host-*', '/a/b', '!/host-dev', '*')),
    propagation: some(fc.constantFrom(...PROPAGATION_MODES)),
    capabilities: some(fc.constantFrom('CAP_NET_ADMIN', 'net_raw', 'SYS_ADMIN', 'ALL')),
    uevents: some(fc.constantFrom(...UEVENT_ACCESS)),
  },
  maybe,
);

const rule = fc.record(
  {
    name: fc.constant(''),
    namespaces: globs,
    namespaceLabels: labelGlobs,
    serviceAccounts: globs,
    podLabels: labelGlobs,
    runtimeClasses: globs,
    allow,
    defaults: fc.constantFrom({}, { lxcfs: 'false' }, { dev: 'false', media: 'false' }),
    enforce: fc.boolean(),
  },
  { requiredKeys: ['name', 'namespaces'] },
);

const match = fc.record(
  { devname: globs, removable: fc.boolean(), minSize: fc.constantFrom(1, '64Mi', '500M') },
  {
    requiredKeys: ['devname'],
  },
);

/** Valid policies, as an admin writes them. */
export const policyInput: fc.Arbitrary<PolicyInput> = fc
  .record(
    {
      onViolation: fc.constantFrom('deny' as const, 'warn' as const),
      lxcfs: fc.record({ views: fc.subarray([...LXCFS_VIEW_NAMES], { minLength: 1 }) }),
      rules: fc.array(rule, { maxLength: 5 }),
    },
    { requiredKeys: ['rules'] },
  )
  .chain((policy) =>
    fc.record({ mediaMatch: fc.array(match, { minLength: 1, maxLength: 2 }), readOnly: fc.boolean() }).map(
      ({ mediaMatch, readOnly }) =>
        ({
          apiVersion: 'hotmount.io/v1alpha1',
          kind: 'Policy',
          ...policy,
          mediaClasses: classNames.map((name) => ({
            name,
            match: mediaMatch,
            mount: { readOnly, options: ['noexec'] },
          })),
          deviceClasses: classNames.map((name) => ({ name, match: [{ subsystem: ['tty'] }], mode: '0660' })),
          rules: policy.rules.map((r, index) => ({ ...r, name: `rule-${index}` })),
        }) satisfies PolicyInput,
    ),
  );

const labels = fc.dictionary(labelKey, fc.constantFrom(...names, ''), { maxKeys: 3 });
export const subject: fc.Arbitrary<Subject> = fc.record({
  namespace: fc.constantFrom(...names),
  namespaceLabels: fc.option(labels, { nil: undefined, freq: 8 }),
  serviceAccount: fc.constantFrom(...names, ''),
  podLabels: labels,
  runtimeClass: fc.constantFrom(...names, ''),
});

export const want: fc.Arbitrary<Want> = fc.oneof(
  fc.record({ feature: fc.constant('lxcfs' as const), views: fc.constant(undefined) }),
  fc.constant({ feature: 'privileged' as const }),
  fc.constant({ feature: 'live' as const, path: '/hotmount' }),
  fc.record({ feature: fc.constant('dev' as const), path: fc.constantFrom('/host-dev', '/host-x', '/a/b', '/z') }),
  fc.record({
    feature: fc.constant('media' as const),
    class: fc.constantFrom(...classNames, 'none'),
    path: fc.constant('/media'),
    readOnly: fc.boolean(),
  }),
  fc.record({
    feature: fc.constant('devices' as const),
    class: fc.constantFrom(...classNames, 'none'),
    path: fc.constant('/dev/x'),
  }),
  fc.record({
    feature: fc.constant('propagation' as const),
    volume: fc.constant('data'),
    mode: fc.constantFrom(...PROPAGATION_MODES),
  }),
  fc.record({ feature: fc.constant('capabilities' as const), capability: fc.constantFrom(...CAPABILITIES, 'ALL') }),
  fc.record({ feature: fc.constant('uevents' as const), access: fc.constantFrom(...UEVENT_ACCESS) }),
);
