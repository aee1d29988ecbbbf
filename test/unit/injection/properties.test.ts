import { posix } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import jsonPatch from 'fast-json-patch';
import { describe, expect, it } from 'vitest';
import { FEATURES, STATUS } from '../../../src/contract/annotations.ts';
import type { Json, JsonObject } from '../../../src/contract/json.ts';
import { REASONS, type Reason } from '../../../src/contract/reasons.ts';
import type { VolumeKind } from '../../../src/contract/volumes.ts';
import {
  type Entry,
  type InjectResult,
  inject,
  injectManifest,
  mutateWorkload,
  ObjectError,
} from '../../../src/injection/index.ts';
import { NamespaceLabelsUnknownError, type Policy } from '../../../src/policy/index.ts';
import { type Additions, additionsOf } from './additions.ts';
import { anyJson, damaged } from './generators/basics.ts';
import { pods, workloads } from './generators/pods.ts';
import { contexts, policies } from './generators/policies.ts';
import { type Change, changes, contains, copies, deepFreeze, wire } from './json.ts';
import { violations } from './kubernetes-rules.ts';
import { RUNS, TIMEOUT } from './runs.ts';

/** One property over pods, contexts and policies; the inputs are frozen, so that whoever changes one of them throws. */
function holds(
  name: string,
  property: (pod: JsonObject, context: Parameters<typeof inject>[1], policy: Policy) => void,
  arbitraryPolicies = policies,
): void {
  it(name, { timeout: TIMEOUT }, () => {
    const run = fc.property(pods, contexts, arbitraryPolicies, (pod, context, policy) =>
      property(deepFreeze(pod), deepFreeze(context), deepFreeze(policy)),
    );
    fc.assert(run, { numRuns: RUNS });
  });
}

const codes = ({ warnings, denials }: InjectResult): readonly Reason[][] =>
  [warnings, denials].map((found) => found.map(({ reason }) => reason));

/**
 * That the second pass over what came of the first changes nothing; its result. Where defaults were skipped, it may give another reason
 * for one: two defaults that want the same path get in each other's way only once the other is there. Then the third must change nothing.
 */
function settled(first: InjectResult, pod: JsonObject, again: (pod: JsonObject) => InjectResult): InjectResult {
  const second = again(pod);
  expect(codes(second)).toEqual(codes(first));
  if (second.pod === pod) return second;
  expect(codes(first)[0]).toContain('default_skipped');
  expect(changes(pod, second.pod).filter((change) => !isStatus(change))).toEqual([]);
  expect(again(second.pod).pod).toBe(second.pod);
  return second;
}

describe('injection, for any pod, annotations, policy and namespace', () => {
  holds('makes a patch that gives exactly the injected pod, over the wire', (pod, context, policy) => {
    const injected = inject(pod, context, policy).pod;
    const patch = wire(jsonPatch.compare(pod, injected));
    expect(jsonPatch.applyPatch(wire(pod), patch).newDocument).toEqual(wire(injected));
  });

  holds('changes nothing the second time', (pod, context, policy) => {
    const first = inject(pod, context, policy);
    const second = settled(first, first.pod, (object) => inject(object, context, policy));
    expect(second.summary).toEqual(first.summary);
  });

  holds('changes nothing when it is called again on what the API server makes of it', (pod, context, policy) => {
    const first = inject(pod, context, policy);
    if (first.denials.length > 0) return;
    settled(first, apiServerDefaults(wire(first.pod)), (object) => inject(object, context, policy));
  });

  holds('changes nothing that the summary does not name', (pod, context, policy) => {
    const { pod: injected, summary } = inject(pod, context, policy);
    const named = namedBy(summary.entries, pod, context.volumes);
    expect(changes(pod, injected).filter((change) => !named(change))).toEqual([]);
  });

  holds('gives all that the summary names', (pod, context, policy) => {
    const { pod: injected, summary } = inject(pod, context, policy);
    for (const [name, entries] of Map.groupBy(summary.entries, ({ container }) => container)) {
      expect(missing(injected, name, additionsOf(entries))).toEqual([]);
    }
  });

  holds('writes the summary into the status', (pod, context, policy) => {
    const { pod: injected, summary, warnings, denials } = inject(pod, context, policy);
    if (denials.length > 0) return;
    if (summary.entries.length + warnings.length === 0) {
      expect(annotationsOf(injected)).not.toHaveProperty([STATUS]);
      return;
    }
    const status = JSON.parse(annotationsOf(injected)[STATUS] as string);
    const said = Object.entries(status.containers as Record<string, Record<string, string>>).flatMap(
      ([container, features]) =>
        Object.entries(features).flatMap(([feature, items]) =>
          items.split(',').map((item) => `${container} ${feature} ${item}`),
        ),
    );
    expect(said.toSorted()).toEqual(
      summary.entries.map(({ container, feature, item }) => `${container} ${feature} ${item}`).toSorted(),
    );
    expect(status.rules).toEqual(summary.rules);
    expect(status.warnings ?? []).toEqual(warnings.slice(0, 20).map(({ message }) => message));
  });

  holds('shares with the pod every part that it does not change', (pod, context, policy) => {
    expect(copies(pod, inject(pod, context, policy).pod)).toEqual([]);
  });

  holds('returns the very pod where it denies', (pod, context, policy) => {
    const result = inject(pod, context, policy);
    if (result.denials.length === 0) return;
    expect(result.pod).toBe(pod);
    expect(result.summary.entries).toEqual([]);
  });

  holds('breaks no rule of the API server that the pod did not break before', (pod, context, policy) => {
    const before = violations(pod);
    const after = violations(inject(pod, context, policy).pod);
    expect([...after].filter((line) => !before.has(line))).toEqual([]);
  });

  holds('fills in every message', (pod, context, policy) => {
    const { warnings, denials } = inject(pod, context, policy);
    for (const { reason, message } of [...warnings, ...denials]) {
      expect(REASONS).toHaveProperty(reason);
      expect(message).not.toMatch(/undefined|\[object|NaN/);
    }
  });
});

describe('a policy that allows nothing', () => {
  const closed = policies.map((policy) => ({
    ...policy,
    rules: policy.rules.map((rule) => ({ ...rule, allow: NOTHING, defaults: {} })),
  }));

  holds(
    'adds no field but the status, and that only to warn',
    (pod, context, policy) => {
      const result = inject(pod, context, policy);
      expect(result.summary.entries).toEqual([]);
      const { pod: injected, warnings, denials } = result;
      if (warnings.length + denials.length === 0) expect(annotationsOf(injected)).not.toHaveProperty([STATUS]);
      expect(changes(pod, result.pod).filter((change) => !isStatus(change))).toEqual([]);
    },
    closed,
  );

  holds(
    'denies under onViolation: deny, and leaves the pod alone, unless nothing comes of what it asks',
    (pod, context, policy) => {
      const { pod: injected, warnings, denials } = inject(pod, context, policy);
      const onlyNotices = new Set<Reason>(['container_not_found', 'volume_not_mounted']);
      if (denials.length > 0) expect(injected).toBe(pod);
      else expect(warnings.filter(({ reason }) => !onlyNotices.has(reason))).toEqual([]);
    },
    closed.map((policy) => ({ ...policy, onViolation: 'deny' })),
  );
});

describe('defaults', () => {
  const withoutDefaults = (policy: Policy): Policy => ({
    ...policy,
    rules: policy.rules.map((rule) => ({ ...rule, defaults: {} })),
  });

  holds('never keep out a pod that would be admitted without them', (pod, context, policy) => {
    if (inject(pod, context, withoutDefaults(policy)).denials.length > 0) return;
    expect(inject(pod, context, policy).denials).toEqual([]);
  });

  holds('take nothing from a pod that it would have without them, unless they are enforced', (pod, context, policy) => {
    const unenforced = { ...policy, rules: policy.rules.map((rule) => ({ ...rule, enforce: false })) };
    const key = ({ container, feature, item }: Entry) => `${container} ${feature} ${item}`;
    const kept = new Set(inject(pod, context, unenforced).summary.entries.map(key));
    const had = inject(pod, context, withoutDefaults(unenforced)).summary.entries.map(key);
    expect(had.filter((item) => !kept.has(item))).toEqual([]);
  });

  holds('reach no namespace that is not labelled for them', (pod, context, policy) => {
    const unlabelled = {
      ...context,
      namespaceLabels: { ...context.namespaceLabels, 'hotmount.io/defaults': 'disabled' },
    };
    const { pod: injected, summary, denials } = inject(pod, unlabelled, policy);
    const expected = inject(pod, unlabelled, withoutDefaults(policy));
    expect(summary.entries).toEqual(expected.summary.entries);
    expect(denials).toEqual(expected.denials);
    expect(changes(expected.pod, injected).filter((change) => !isStatus(change))).toEqual([]);
  });
});

describe('a namespace whose labels are not known', () => {
  holds('gets no other answer than with any labels, where rules have defaults', (pod, context, policy) => {
    let unknown: ReturnType<typeof inject>;
    try {
      unknown = inject(pod, { ...context, namespaceLabels: undefined }, policy);
    } catch (error) {
      if (error instanceof NamespaceLabelsUnknownError || error instanceof ObjectError) return;
      throw error;
    }
    for (const labels of [{}, { 'hotmount.io/defaults': 'enabled' }, context.namespaceLabels ?? {}]) {
      const known = inject(pod, { ...context, namespaceLabels: labels }, policy);
      expect(known.summary.entries).toEqual(unknown.summary.entries);
      expect(known.denials).toEqual(unknown.denials);
    }
  });
});

describe('input that no API server would send', () => {
  const onlyDeclared = (run: () => unknown): void => {
    try {
      run();
    } catch (error) {
      if (!(error instanceof ObjectError || error instanceof NamespaceLabelsUnknownError)) throw error;
    }
  };
  const contextsWithUnknown = fc.oneof(
    contexts,
    contexts.map(({ namespace }) => ({ namespace, namespaceLabels: undefined })),
  );
  const throwsOnlyDeclared = (objects: fc.Arbitrary<unknown>) => {
    const run = fc.property(objects, contextsWithUnknown, policies, (object, context, policy) => {
      deepFreeze(object);
      onlyDeclared(() => inject(object, context, policy));
      onlyDeclared(() => injectManifest(object as JsonObject, context, policy));
      onlyDeclared(() => mutateWorkload(object as JsonObject, { ...context, operation: 'CREATE' }, policy));
    });
    fc.assert(run, { numRuns: RUNS });
  };
  const asObject = (value: Json): JsonObject => ({ apiVersion: 'v1', kind: 'Pod', metadata: value, spec: value });

  it('throws nothing but the declared errors for any JSON object', { timeout: TIMEOUT }, () => {
    throwsOnlyDeclared(
      fc.oneof(
        anyJson.map(asObject),
        fc.object({ withNullPrototype: true, withBigInt: false }) as fc.Arbitrary<JsonObject>,
      ),
    );
  });

  it('throws nothing but the declared errors for any value as the pod', { timeout: TIMEOUT }, () => {
    const run = fc.property(fc.oneof(fc.anything(), anyJson), contexts, policies, (value, context, policy) =>
      onlyDeclared(() => inject(value, context, policy)),
    );
    fc.assert(run, { numRuns: RUNS });
  });

  it('throws nothing but the declared errors for pods with wrong types anywhere', { timeout: TIMEOUT }, () => {
    throwsOnlyDeclared(damaged(pods));
  });

  it('throws nothing but the declared errors for workloads with wrong types anywhere', { timeout: TIMEOUT }, () => {
    throwsOnlyDeclared(damaged(workloads));
  });

  it('changes nothing the second time, whatever came out the first', { timeout: TIMEOUT }, () => {
    const run = fc.property(damaged(pods), contexts, policies, (pod, context, policy) =>
      onlyDeclared(() => {
        const first = inject(deepFreeze(pod), context, policy);
        settled(first, first.pod, (object) => inject(object, context, policy));
      }),
    );
    fc.assert(run, { numRuns: RUNS });
  });
});

describe('what the generators reach', () => {
  it('is every feature, every reason that a pod can give, and a quarter of the pods injected', () => {
    const inputs = fc.sample(fc.tuple(pods, contexts, policies), { numRuns: 6_000, seed: 1 });
    const results = inputs.map(([pod, context, policy]) => inject(pod, context, policy));
    const features = new Set(results.flatMap(({ summary }) => summary.entries.map(({ feature }) => feature)));
    expect([...features].toSorted()).toEqual(FEATURES.toSorted());
    expect(results.filter(({ summary }) => summary.outcome === 'injected').length).toBeGreaterThan(1_400);
    const reached = new Set(
      results.flatMap(({ warnings, denials }) => [...warnings, ...denials].map(({ reason }) => reason)),
    );
    const outOfReach = (Object.keys(REASONS) as Reason[]).filter((reason) => !reached.has(reason));
    expect(outOfReach.filter((reason) => REASONS[reason].kind !== 'outcome').toSorted()).toEqual([
      'annotation_misplaced', // of admission: see misplaced.test.ts
      'existing_job', // of workloads
      'live_annotations_awaited', // of pods that run, as the next ones: see judge-annotations.test.ts
      'live_annotations_unreadable',
      'live_directory_lost',
      'live_failed',
      'live_for_one_container',
      'live_no_effect',
      'live_path',
      'live_rule_by_labels',
      'namespace_labels_unknown', // of workloads
      'pod_not_live', // of pods that run
      'pod_security_forbids', // inside default_skipped
      'pods_would_be_denied', // of workloads
      'too_much_asked', // more than any of these pods asks: see inject.test.ts
      'volume_attributes_invalid', // of judgeVolumes, as the next ones: see judge-volumes.test.ts
      'volume_class_unknown',
      'volume_mount_path',
      'volume_not_read_only',
      'volume_path_unknown',
      'volume_sub_path',
    ]);
  });
});

const NOTHING = {
  lxcfs: false,
  privileged: false,
  live: false,
  media: [],
  devices: [],
  dev: [],
  propagation: [],
  capabilities: [],
  uevents: [],
} as const;

const isStatus = ({ path }: Change): boolean => path.join('/') === `metadata/annotations/${STATUS}`;

const annotationsOf = (pod: JsonObject): JsonObject =>
  ((pod['metadata'] as JsonObject | undefined)?.['annotations'] as JsonObject | undefined) ?? {};

/** What SetDefaults_Pod adds between two calls (pkg/apis/core/v1/defaults.go), as far as hotmount looks at it. */
function apiServerDefaults(pod: JsonObject): JsonObject {
  const spec = pod['spec'] as JsonObject;
  const withPorts = (container: JsonObject): JsonObject => {
    const ports = (container['ports'] ?? []) as readonly JsonObject[];
    const defaulted = ports.map((port) => ({
      protocol: 'TCP',
      ...port,
      ...(spec['hostNetwork'] === true && !port['hostPort'] && { hostPort: port['containerPort'] ?? 0 }),
    }));
    return { terminationMessagePolicy: 'File', ...container, ports: defaulted };
  };
  const lists = (['containers', 'initContainers'] as const).map((list) => [
    list,
    ((spec[list] ?? []) as readonly JsonObject[]).map(withPorts),
  ]);
  return {
    ...pod,
    spec: { dnsPolicy: 'ClusterFirst', schedulerName: 'default-scheduler', ...spec, ...Object.fromEntries(lists) },
  };
}

/** Whether a change is one that the entries announce. */
function namedBy(entries: readonly Entry[], pod: JsonObject, kind: VolumeKind = 'csi'): (change: Change) => boolean {
  const byContainer = new Map(
    [...Map.groupBy(entries, ({ container }) => container)].map(([name, own]) => [name, additionsOf(own)]),
  );
  const all = [...byContainer.values()];
  return (change) => {
    const { path, before, after } = change;
    if (isStatus(change)) return true;
    const [spec, list, index, ...inside] = path;
    if (spec !== 'spec') return false;
    if (isScheduling(change, entries)) return true;
    if (list === 'hostNetwork') return after === true && all.some(({ hostNetwork }) => hostNetwork);
    if (list === 'dnsPolicy') {
      const wasClusterFirst = (before ?? 'ClusterFirst') === 'ClusterFirst';
      return wasClusterFirst && after === 'ClusterFirstWithHostNet' && all.some(({ hostNetwork }) => hostNetwork);
    }
    if (list === 'volumes') {
      const isNew = before === undefined && inside.length === 0;
      return isNew && all.some(({ volumes }) => volumes.some((volume) => isDeepStrictEqual(volume[kind], after)));
    }
    const container = containersIn(pod, String(list))[Number(index)];
    const additions = container && byContainer.get(String(container['name']));
    return container !== undefined && additions !== undefined && isNamed(inside, change, container, additions);
  };
}

/** What hotmount.io/schedule adds for the classes that the pod has. */
function isScheduling({ path: [, list, , ...inside], before, after }: Change, entries: readonly Entry[]): boolean {
  const classes = entries
    .filter(({ feature }) => feature === 'media' || feature === 'devices')
    .map(({ item }) => `hotmount.io/${item.split(':')[0]}`);
  if (list === 'affinity') return classes.length > 0;
  const [field, kind, key] = inside;
  const isLimit = field === 'resources' && kind === 'limits' && inside.length === 3;
  return isLimit && before === undefined && after === '1' && classes.includes(String(key));
}

function isNamed(
  inside: Change['path'],
  { before, after }: Change,
  container: JsonObject,
  additions: Additions,
): boolean {
  const [field, key, deeper] = inside;
  if (field === 'volumeMounts' && inside.length === 2) {
    const named = [...additions.mounts, ...additions.mayHave];
    return before === undefined && named.some((mount) => isDeepStrictEqual(mount, after));
  }
  if (field === 'volumeMounts' && deeper === 'mountPropagation') {
    const mount = (container['volumeMounts'] as readonly JsonObject[])[Number(key)];
    return additions.propagation.get(String(mount?.['name'])) === after;
  }
  if (field !== 'securityContext') return false;
  if (key === 'privileged') return (before ?? undefined) === undefined && after === true && additions.privileged;
  return (
    key === 'capabilities' && deeper === 'add' && before === undefined && additions.capabilities.includes(String(after))
  );
}

/** What a container lacks of its additions. */
function missing(pod: JsonObject, name: string, additions: Additions): readonly string[] {
  const container = [...containersIn(pod, 'containers'), ...containersIn(pod, 'initContainers')].find(
    (c) => c['name'] === name,
  );
  const mounts = (container?.['volumeMounts'] ?? []) as readonly JsonObject[];
  const volumes = ((pod['spec'] as JsonObject)['volumes'] ?? []) as readonly JsonObject[];
  const security = (container?.['securityContext'] ?? {}) as JsonObject;
  const capabilities = ((security['capabilities'] ?? {}) as JsonObject)['add'] as readonly string[] | null | undefined;
  const held = (capabilities ?? []).map((capability) => capability.toUpperCase().replace('CAP_', ''));
  return [
    ...additions.mounts
      .filter(({ recursiveReadOnly: _, ...mount }) => !mounts.some((m) => contains(asWeWrite(m), mount)))
      .map(({ name, mountPath }) => `${name} at ${mountPath}`),
    ...additions.volumes
      .filter(({ csi, hostPath }) => !volumes.some((v) => contains(v, csi) || contains(v, hostPath)))
      .map(({ csi }) => `volume ${csi.name}`),
    ...additions.capabilities.filter((capability) => !held.includes(capability) && !held.includes('ALL')),
    ...(additions.privileged && security['privileged'] !== true ? ['privileged'] : []),
    ...(additions.hostNetwork && (pod['spec'] as JsonObject)['hostNetwork'] !== true ? ['hostNetwork'] : []),
    ...[...additions.propagation]
      .filter(([volume, mode]) =>
        mounts.some((m) => m['name'] === volume && (m['mountPropagation'] ?? 'None') !== mode),
      )
      .map(([volume]) => `propagation of ${volume}`),
  ];
}

/** A path of an existing mount may be written in another way, and an old API server may have dropped recursiveReadOnly. */
const asWeWrite = (mount: JsonObject): JsonObject => ({
  ...mount,
  mountPath: posix.resolve('/', String(mount['mountPath'])),
});

const containersIn = (pod: JsonObject, list: string): readonly JsonObject[] =>
  ((pod['spec'] as JsonObject)[list] ?? []) as readonly JsonObject[];
