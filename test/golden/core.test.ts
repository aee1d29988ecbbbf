import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/contract/json.ts';
import type { Finding } from '../../src/contract/reasons.ts';
import { inject, injectManifest, mutateWorkload, templatePath } from '../../src/injection/index.ts';
import { answered, type Case, loadCases } from './case.ts';
import { rewrite } from './rewrite.ts';

const cases = loadCases();
const update = process.env['GOLDEN_UPDATE'] === '1';

it('there are at least eighty golden cases', () => expect(cases.length).toBeGreaterThanOrEqual(80));

describe('the core', () => {
  const run = ({ context, policy }: Case, object: JsonObject) => injectManifest(object, context, policy);

  describe.each(cases.filter(answered))('$name', (golden) => {
    if (update) it('is written anew', () => rewrite(golden, run(golden, golden.input)));

    it('comes out as it says', () => {
      const { object, warnings, denials } = run(golden, golden.input);
      expect(codes(warnings)).toEqual(golden.warnings);
      expect(codes(denials)).toEqual(golden.denials);
      if (golden.output === golden.input) expect(object).toBe(golden.input);
      else expect(object).toEqual(golden.output);
      const said = [...warnings, ...denials].map(({ message }) => message).join('\n');
      for (const message of golden.messages) expect(said).toContain(message);
    });

    it('does not change the second time', () => {
      const again = run(golden, golden.output);
      expect(again.object).toBe(golden.output);
      expect(codes(again.warnings)).toEqual(golden.warnings);
      expect(codes(again.denials)).toEqual(golden.denials);
    });
  });

  it.each(cases.filter(({ error }) => error !== undefined))('$name gives its error', (golden) => {
    expect(() => run(golden, golden.input)).toThrow(golden.error);
  });
});

describe('the core, for a workload', () => {
  const workloads = cases.filter(({ input }) => templatePath(input) !== undefined);

  it.each(workloads)('$name is carried', (golden) => {
    const { context, policy, operation } = golden;
    const { object, warnings } = mutateWorkload(golden.input, { ...context, operation }, policy);
    expect(codes(warnings)).toEqual(golden.workloadWarnings);
    const said = warnings.map(({ message }) => message).join('\n');
    for (const message of golden.messages) expect(said).toContain(message);
    if (operation === 'UPDATE') expect(object).toBe(golden.input);
    if (!answered(golden)) return;

    // Its template, as the pod that comes of it, has what the manifest's template has.
    const pod = inject(templateOf(object), context, policy);
    expect(codes(pod.denials)).toEqual(golden.denials);
    if (golden.denials.length === 0) expect(pod.pod).toEqual(templateOf(golden.output));
    // Nothing else of the workload has changed.
    expect(withoutTemplate(object)).toEqual(withoutTemplate(golden.input));
  });
});

const codes = (findings: readonly Finding[]): string[] => findings.map(({ reason }) => reason);

const templateOf = (workload: JsonObject): JsonObject =>
  (templatePath(workload) ?? []).reduce<JsonObject>((node, key) => node[key] as JsonObject, workload);

function withoutTemplate(workload: JsonObject): JsonObject {
  const copy = structuredClone(workload) as JsonObject;
  for (const key of Object.keys(templateOf(copy))) delete (templateOf(copy) as Record<string, unknown>)[key];
  return copy;
}
