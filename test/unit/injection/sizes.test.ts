import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/contract/json.ts';
import type { Reason } from '../../../src/contract/reasons.ts';
import { inject, ObjectError } from '../../../src/injection/index.ts';
import { parsePolicy } from '../../../src/policy/index.ts';
import { SOAK } from '../../settings.ts';

/**
 * The largest and oddest pods that fit into a request to the API server (3 MB; it looks at annotations' sizes only after admission). What
 * matters is that each gets its answer; anything quadratic in here takes minutes and runs into vitest's time limit. HOTMOUNT_SOAK=1 says
 * on stderr what each took.
 */
interface Case {
  readonly what: string;
  readonly annotations: JsonObject;
  readonly spec: unknown;
  readonly policy?: typeof open;
  /** The first denial; undefined: the pod is injected. */
  readonly denied?: Reason;
}

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const object = <T>(count: number, make: (index: number) => readonly [string, T]): Record<string, T> =>
  Object.fromEntries(times(count, make));
const CLASSES = times(64, (i) => `c${i}`);
const rule = (allow: string) => `rules: [{name: all, namespaces: ["*"], allow: ${allow}}]`;
const policy = (text: string) => parsePolicy(`apiVersion: hotmount.io/v1alpha1\nkind: Policy\n${text}`);
const open = policy(`
mediaClasses: [${CLASSES.map((name) => `{name: ${name}, match: [{bus: [usb]}]}`).join(', ')}]
deviceClasses: [${CLASSES.map((name) => `{name: ${name}, match: [{subsystem: [tty]}]}`).join(', ')}]
${rule(
  `{lxcfs: true, privileged: true, media: [${CLASSES}], devices: [${CLASSES}], dev: ["*"], capabilities: [ALL], ` +
    'propagation: [None, HostToContainer, Bidirectional], uevents: [kernel, udev, udevd]}',
)}`);
const closedWarn = policy('onViolation: warn');

const containers = (count: number, more: (index: number) => JsonObject = () => ({})) => ({
  containers: times(count, (i) => ({ name: `c${i}`, ...more(i) })),
});
const volumes = (count: number, name = 'volume') => ({
  volumes: times(count, (i) => ({ name: `${name}-${i}`, emptyDir: {} })),
});
const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth));

const CASES: readonly Case[] = [
  {
    what: '20,000 containers that ask for lxcfs',
    annotations: { 'hotmount.io/lxcfs': 'true' },
    spec: containers(20_000),
    denied: 'too_much_asked',
  },
  {
    what: '20,000 containers that ask for 64 of everything',
    annotations: {
      'hotmount.io/media': CLASSES.join(','),
      'hotmount.io/devices': CLASSES.join(','),
      'hotmount.io/propagation': CLASSES.map((name) => `${name}=None`).join(','),
    },
    spec: containers(20_000),
    denied: 'too_much_asked',
  },
  {
    what: 'lxcfs in 280 containers beside 60,000 volumes',
    annotations: { 'hotmount.io/lxcfs': 'true' },
    spec: { ...containers(280), ...volumes(60_000) },
  },
  {
    what: '2,000 names of volumes that are not among 60,000',
    annotations: object(31, (i) => [
      `hotmount.io/propagation.c${i}`,
      times(64, (j) => `volume-nr-${i}x${j}=None`).join(','),
    ]),
    spec: { ...containers(31), ...volumes(60_000, 'volume-nr') },
    denied: 'volume_not_found',
  },
  {
    what: '128 classes in a container with 60,000 mounts',
    annotations: { 'hotmount.io/media': CLASSES.join(','), 'hotmount.io/devices': CLASSES.join(',') },
    spec: containers(1, () => ({ volumeMounts: times(60_000, (i) => ({ name: 'v', mountPath: `/v/${i}` })) })),
  },
  {
    what: 'the propagation of a volume that is mounted 40,000 times',
    annotations: { 'hotmount.io/propagation': 'v=HostToContainer' },
    spec: containers(1, () => ({ volumeMounts: times(40_000, (i) => ({ name: 'v', mountPath: `/v/${i}` })) })),
  },
  {
    what: 'the host network for 2,000 containers with 60,000 ports, the last of which clashes',
    annotations: { 'hotmount.io/uevents': 'udev' },
    spec: {
      containers: [
        ...containers(1_999, (i) => ({ ports: times(30, (j) => ({ containerPort: i * 30 + j })) })).containers,
        { name: 'last', ports: [{ containerPort: 1, hostPort: 2 }] },
      ],
    },
    denied: 'host_network_conflict',
  },
  {
    what: '60,000 annotations that do not exist',
    annotations: object(60_000, (i) => [`hotmount.io/lx.${i}`, 'x']),
    spec: containers(2),
    denied: 'annotation_unknown',
  },
  {
    what: '60,000 carried annotations that do not exist',
    annotations: {
      'hotmount.io/from-workload': JSON.stringify(object(60_000, (i) => [`hotmount.io/lx.${i}`, 'x'])),
    },
    spec: containers(2),
    denied: 'annotation_unknown',
  },
  {
    what: '10,000 overrides for containers that are nearly among 20,000',
    annotations: object(10_000, (i) => [`hotmount.io/lxcfs.container-with-a-long-name-${i}`, 'true']),
    spec: { containers: times(20_000, (i) => ({ name: `container-with-a-long-name-x${i}` })) },
  },
  {
    what: 'a list of 3,000,000 empty items',
    annotations: { 'hotmount.io/media': ','.repeat(3_000_000) },
    spec: containers(1),
    denied: 'annotation_invalid',
  },
  {
    what: 'a path of 3,000,000 characters',
    annotations: { 'hotmount.io/dev': '/a'.repeat(1_500_000) },
    spec: containers(1),
    denied: 'annotation_invalid',
  },
  {
    what: '2,000 things that are refused, with a warning each',
    annotations: { 'hotmount.io/capabilities': 'CHOWN,KILL,BPF,MKNOD' },
    spec: containers(500),
    policy: closedWarn,
  },
  {
    what: '1,984 mounts at the same path',
    annotations: { 'hotmount.io/media': CLASSES.map((name) => `${name}:/x`).join(',') },
    spec: containers(31),
    denied: 'mount_path_taken',
  },
  {
    what: '8 capabilities beside 100,000',
    annotations: { 'hotmount.io/capabilities': 'CHOWN,KILL,BPF,MKNOD,SYS_TIME,SYS_BOOT,SYSLOG,PERFMON' },
    spec: containers(1, () => ({ securityContext: { capabilities: { add: times(100_000, (i) => `C${i}`) } } })),
  },
  {
    what: 'lists 1,000,000 deep in fields that nobody reads',
    annotations: { 'hotmount.io/lxcfs': 'meminfo' },
    spec: { ...containers(1, () => ({ resources: nested(1_000_000) as JsonObject })), affinity: nested(1_000_000) },
  },
];

describe('a pod with', () => {
  it.each(CASES)('$what has its answer, and the same the second time', { timeout: 30_000 }, (sized) => {
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { annotations: sized.annotations }, spec: sized.spec };
    const context = { namespace: 'shop', namespaceLabels: {} };
    const before = process.cpuUsage();
    const first = inject(pod as JsonObject, context, sized.policy ?? open);
    report(sized.what, process.cpuUsage(before).user / 1000);

    expect(first.denials[0]?.reason).toBe(sized.denied);
    const status = (first.pod['metadata'] as { annotations: Record<string, string> }).annotations['hotmount.io/status'];
    expect((status ?? '').length).toBeLessThanOrEqual(65_536);
    for (const { message } of [...first.denials, ...first.warnings].slice(0, 100)) {
      expect(message.length).toBeLessThan(4_096);
    }
    if (sized.denied) expect(first.pod).toBe(pod);
    else expect(inject(first.pod, context, sized.policy ?? open).pod).toBe(first.pod);
  });

  it.each([
    ['too many defaults', false],
    ['too many defaults, enforced', true],
  ])('%s has what it asks for besides, in the last container too', (_, enforce) => {
    const defaults = policy(`rules: [{name: all, namespaces: ["*"], allow: {lxcfs: true, capabilities: [KILL]},
      defaults: {lxcfs: "true"}, enforce: ${enforce}}]`);
    const pod = {
      metadata: { annotations: { 'hotmount.io/capabilities.c999': 'KILL' } },
      spec: containers(1_000),
    } as unknown as JsonObject;
    const context = { namespace: 'shop', namespaceLabels: { 'hotmount.io/defaults': 'enabled' } };
    const { summary, warnings } = inject(pod, context, defaults);
    expect(summary.entries).toEqual([{ container: 'c999', feature: 'capabilities', item: 'KILL', rule: 'all' }]);
    expect(warnings.map(({ reason }) => reason)).toContain('default_skipped');
  });

  it.each([
    ['its spec', { spec: nested(3_000_000) }],
    ['an annotation', { metadata: { annotations: { 'hotmount.io/lxcfs': nested(3_000_000) } }, spec: containers(1) }],
    ['its metadata', { metadata: nested(3_000_000) }],
  ])('lists 3,000,000 deep for %s is told so in a line', (_, more) => {
    const pod = { metadata: { annotations: { 'hotmount.io/lxcfs': 'true' } }, ...more } as unknown as JsonObject;
    let message: string;
    try {
      message = inject(pod, { namespace: 'shop', namespaceLabels: {} }, open).denials[0]?.message ?? '';
    } catch (error) {
      if (!(error instanceof ObjectError)) throw error;
      message = error.message;
    }
    expect(message).toContain('a list');
    expect(message.length).toBeLessThan(200);
  });
});

function report(what: string, milliseconds: number): void {
  if (!SOAK) return;
  process.stderr.write(`${milliseconds.toFixed(0).padStart(6)} ms CPU: a pod with ${what}\n`);
}
