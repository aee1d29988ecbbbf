import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/contract/json.ts';
import { inject, injectManifest, mutateWorkload, templatePath } from '../../../src/injection/index.ts';
import { scalarAnnotations } from './generators/annotations.ts';
import { workloads } from './generators/pods.ts';
import { contexts, policies } from './generators/policies.ts';
import { changes, deepFreeze, type Path, wire } from './json.ts';
import { RUNS, TIMEOUT } from './runs.ts';

const FROM_WORKLOAD = 'hotmount.io/from-workload';

const get = (object: JsonObject, path: Path): unknown =>
  path.reduce<unknown>((node, key) => (node as Record<string | number, unknown> | null | undefined)?.[key], object);
const template = (workload: JsonObject): JsonObject => get(workload, templatePath(workload) ?? []) as JsonObject;
const carriedIn = (workload: JsonObject): unknown =>
  get(template(workload), ['metadata', 'annotations', FROM_WORKLOAD]);
const withAnnotations = (workload: JsonObject, own: JsonObject | undefined): JsonObject => {
  const { annotations: _, ...metadata } = workload['metadata'] as JsonObject;
  return { ...workload, metadata: { ...metadata, ...(own && { annotations: own }) } };
};

/** Deployments and the like, whose template's annotations come from nobody but their user and hotmount. */
const plain = workloads.filter(
  (workload) =>
    carriedIn(workload) === undefined && (workload['metadata'] as JsonObject)['ownerReferences'] === undefined,
);
const noJobTemplateAnnotations = plain.filter(
  (workload) => get(workload, ['spec', 'jobTemplate', 'metadata']) === undefined,
);

/** A Job keeps what its template came with. */
const recomputed = noJobTemplateAnnotations.filter(({ kind }) => kind !== 'Job');

function holds(
  name: string,
  objects: fc.Arbitrary<JsonObject>,
  property: (workload: JsonObject, mutate: (workload: JsonObject) => JsonObject, own: JsonObject) => void,
): void {
  it(name, { timeout: TIMEOUT }, () => {
    const run = fc.property(objects, contexts, policies, scalarAnnotations, (workload, context, policy, own) => {
      const mutate = (object: JsonObject) => mutateWorkload(object, { ...context, operation: 'CREATE' }, policy).object;
      property(deepFreeze(workload), mutate, deepFreeze(own));
    });
    fc.assert(run, { numRuns: RUNS });
  });
}

describe('carrying annotations, for any workload, policy and namespace', () => {
  holds('changes nothing the second time', workloads, (workload, mutate) => {
    const once = mutate(workload);
    expect(mutate(once)).toBe(once);
    const again = wire(once);
    expect(mutate(again)).toBe(again);
  });

  holds('changes the one annotation on the template and nothing else', workloads, (workload, mutate) => {
    const expected = [...(templatePath(workload) ?? []), 'metadata', 'annotations', FROM_WORKLOAD].join('/');
    const changed = changes(workload, mutate(workload)).map(({ path }) => path.join('/'));
    expect(changed.filter((path) => path !== expected)).toEqual([]);
  });

  holds(
    'carries what the workload says and nothing of what it is not asked for',
    noJobTemplateAnnotations,
    (workload, mutate) => {
      const own = (get(workload, ['metadata', 'annotations']) ?? {}) as JsonObject;
      const ours = Object.entries(own).filter(
        ([key]) => key.startsWith('hotmount.io/') && !/\/(status|from-workload)$/.test(key),
      );
      const carried = carriedIn(mutate(workload));
      if (ours.length === 0) expect(carried).toBeUndefined();
      else expect(JSON.parse(carried as string)).toEqual(Object.fromEntries(ours));
    },
  );

  holds('follows the workload alone, whatever was carried before', recomputed, (workload, mutate, own) => {
    const anew = mutate(withAnnotations(workload, own));
    const later = mutate(withAnnotations(mutate(workload), own));
    expect(carriedIn(later)).toEqual(carriedIn(anew));
  });

  holds('leaves no trace once the annotations are gone', recomputed, (workload, mutate) => {
    const emptied = template(mutate(withAnnotations(mutate(workload), undefined)));
    expect(changes(template(workload), emptied)).toEqual([]);
  });

  it('gives pods of the carried template what `inject` gives the manifest', { timeout: TIMEOUT }, () => {
    const run = fc.property(workloads, contexts, policies, (workload, context, policy) => {
      const manifest = injectManifest(workload, context, policy);
      const carried = mutateWorkload(workload, { ...context, operation: 'CREATE' }, policy).object;
      const pod = inject(template(carried), context, policy);
      expect(manifest.denials).toEqual(pod.denials);
      expect(manifest.warnings).toEqual(pod.warnings);
      expect(manifest.summary).toEqual(pod.summary);
      if (pod.denials.length > 0) expect(manifest.object).toBe(workload);
      else expect(template(manifest.object)).toEqual(pod.pod);
      const once = injectManifest(manifest.object, context, policy).object;
      if (!pod.warnings.some(({ reason }) => reason === 'default_skipped')) expect(once).toBe(manifest.object);
      expect(injectManifest(once, context, policy).object).toBe(once);
    });
    fc.assert(run, { numRuns: RUNS });
  });

  it('never changes an existing Job', { timeout: TIMEOUT }, () => {
    const jobs = workloads.filter((workload) => workload['kind'] === 'Job');
    const run = fc.property(jobs, contexts, policies, (job, context, policy) => {
      expect(mutateWorkload(job, { ...context, operation: 'UPDATE' }, policy).object).toBe(job);
    });
    fc.assert(run, { numRuns: RUNS / 5 });
  });
});
