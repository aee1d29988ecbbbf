import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/contract/json.ts';
import { inject } from '../../../src/injection/index.ts';
import { parsePolicy } from '../../../src/policy/index.ts';

/** What properties found once, and chance would seldom find again: asks and defaults that get in each other's way. */

const ALLOW = `allow: {
  lxcfs: true, privileged: true, media: [usb], devices: [serial], dev: ["*"], uevents: [kernel, udev, udevd],
  propagation: [None, HostToContainer, Bidirectional], capabilities: [ALL] }`;
const policyOf = (...rules: string[]) =>
  parsePolicy(`
apiVersion: hotmount.io/v1alpha1
kind: Policy
mediaClasses: [{ name: usb, match: [{ bus: [usb] }] }]
deviceClasses: [{ name: serial, match: [{ subsystem: [tty] }] }]
rules: [${rules.map((rule, i) => `{ name: rule-${i}, namespaces: ["*"], ${ALLOW}, ${rule} }`).join(', ')}]
`);
const context = {
  namespace: 'shop',
  namespaceLabels: { 'hotmount.io/defaults': 'enabled', 'pod-security.kubernetes.io/enforce': 'privileged' },
};
const podOf = (asks: Record<string, string>, container: JsonObject = {}): JsonObject => ({
  metadata: { annotations: Object.fromEntries(Object.entries(asks).map(([key, ask]) => [`hotmount.io/${key}`, ask])) },
  spec: { containers: [{ name: 'app', ...container }], volumes: [{ name: 'data', emptyDir: {} }] },
});
const given = ({ summary }: ReturnType<typeof inject>) =>
  summary.entries.map(({ feature, item }) => `${feature} ${item}`);

interface Case {
  readonly what: string;
  readonly policy: ReturnType<typeof policyOf>;
  readonly pod: JsonObject;
  readonly given: readonly string[];
  readonly warnings?: readonly string[];
}
const CASES: readonly Case[] = [
  {
    what: 'a default that wants the path of what the user asks',
    policy: policyOf('defaults: { dev: /host-dev }'),
    pod: podOf({ media: 'usb:/host-dev' }),
    given: ['media usb:/host-dev'],
    warnings: ['default_skipped'],
  },
  {
    what: 'a default that wants the path of another one',
    policy: policyOf('defaults: { media: "usb:/x", devices: "serial:/x" }'),
    pod: podOf({}),
    given: ['media usb:/x'],
    warnings: ['default_skipped'],
  },
  {
    what: "a default for the propagation of hotmount's own volume",
    policy: policyOf('defaults: { propagation: "hotmount-dev=None" }'),
    pod: podOf({ dev: 'true' }),
    given: ['dev /host-dev'],
  },
  {
    what: 'a default udevd whose alias path the container uses, and a default alias elsewhere',
    policy: policyOf('enforce: true, defaults: { uevents: udevd }', 'defaults: { dev: /x }'),
    pod: podOf({}, { volumeMounts: [{ name: 'data', mountPath: '/host-dev' }] }),
    given: ['dev /x', 'uevents udevd'],
  },
  {
    what: 'a default alias beside a udevd that the user asks for',
    policy: policyOf('defaults: { dev: /x }'),
    pod: podOf({ uevents: 'udevd' }),
    given: ['dev /x', 'uevents udevd'],
  },
  {
    what: 'the privilege by default that the user needs for Bidirectional',
    policy: policyOf('defaults: { privileged: "true" }'),
    pod: podOf({ propagation: 'data=Bidirectional' }, { volumeMounts: [{ name: 'data', mountPath: '/data' }] }),
    given: ['privileged true', 'propagation data=Bidirectional'],
  },
];

describe('a second pass changes nothing after', () => {
  it.each(CASES)('$what', ({ policy, pod, given: expected, warnings = [] }) => {
    const first = inject(pod, context, policy);
    expect(first.denials).toEqual([]);
    expect(given(first).toSorted()).toEqual(expected.toSorted());
    expect(first.warnings.map(({ reason }) => reason)).toEqual(warnings);
    const second = inject(first.pod, context, policy);
    expect(second.pod).toBe(first.pod);
    expect(second.warnings).toEqual(first.warnings);
  });

  it('a udevd that the user asks for, which has its own alias whatever the default', () => {
    const { pod } = inject(podOf({ uevents: 'udevd' }), context, policyOf('defaults: { dev: /x }'));
    const [container] = (pod['spec'] as { containers: { volumeMounts: { name: string; mountPath: string }[] }[] })
      .containers;
    const aliases = container?.volumeMounts
      .filter(({ name }) => name === 'hotmount-dev')
      .map(({ mountPath }) => mountPath);
    expect(aliases).toEqual(['/host-dev', '/x']);
  });
});
