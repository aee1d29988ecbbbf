import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseManifests } from '../../../src/commands/inject/manifests.ts';
import type { JsonObject } from '../../../src/contract/json.ts';
import { injectManifest, ObjectError } from '../../../src/injection/index.ts';
import { defaultPolicy } from '../../../src/policy/index.ts';
import { SOAK } from '../../settings.ts';
import { type Mapping, mapping, type Pick, picks, styledYaml } from '../manifests/styled-yaml.ts';
import { run } from './run.ts';

const numRuns = SOAK ? 10_000 : 200;

const LABELS = { 'pod-security.kubernetes.io/enforce': 'privileged' };
const flags = { namespaceLabels: LABELS };

const annotations = fc.dictionary(
  fc.constantFrom('hotmount.io/lxcfs', 'hotmount.io/lxcfs.web', 'hotmount.io/containers', 'note', 'hotmount.io/lxfcs'),
  fc.constantFrom('true', 'false', 'meminfo, cpuinfo', 'web', '*', 'x: y', 'two\nlines\n'),
  { maxKeys: 3, noNullPrototype: true },
);
const container = fc.record(
  {
    name: fc.constantFrom('web', 'db', 'log'),
    image: fc.constant('nginx:1.25'),
    volumeMounts: fc.constantFrom([], [{ name: 'data', mountPath: '/data' }], null),
    securityContext: fc.constantFrom({}, { capabilities: { drop: ['ALL'] } }, null),
    env: fc.constantFrom([{ name: 'A', value: 'yes' }], [{ name: 'B', value: 'two\nlines\n' }]),
  },
  { requiredKeys: ['name'], noNullPrototype: true },
);
const podSpec = fc.record(
  {
    containers: fc.uniqueArray(container, { minLength: 1, maxLength: 3, selector: ({ name }) => name }),
    volumes: fc.constantFrom([], [{ name: 'data', emptyDir: {} }], null),
    serviceAccountName: fc.constant('web'),
  },
  { requiredKeys: ['containers'], noNullPrototype: true },
);
const metadata = fc.record({ name: fc.constant('x'), annotations }, { requiredKeys: ['name'], noNullPrototype: true });
const pod = fc
  .tuple(metadata, podSpec)
  .map(([meta, spec]) => ({ apiVersion: 'v1', kind: 'Pod', metadata: meta, spec }));
const deployment = fc.tuple(metadata, fc.option(annotations), podSpec).map(([meta, own, spec]) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: meta,
  spec: { template: { ...(own && { metadata: { annotations: own } }), spec } },
}));
const list = fc.array(pod, { maxLength: 3 }).map((items) => ({ apiVersion: 'v1', kind: 'List', items }));
const workload = fc.oneof(pod, deployment, list) as unknown as fc.Arbitrary<Mapping>;

/** Any objects as a stream, as people and tools write it. */
function stream(objects: readonly Mapping[], pick: Pick): string {
  const eol = pick(3) === 0 ? '\r\n' : '\n';
  const documents = objects.map((object) => {
    const start = ['---\n', '--- # next\n', '---\n# next\n\n', '...\n# next\n---\n'][pick(4)];
    return start + styledYaml(object, pick, { flow: true, anchors: true, comments: true });
  });
  const [head, tail] = [['', '# head\n', '---\n'][pick(3)], ['', '...\n', '---\n', '# tail\n', '\n\n'][pick(5)]];
  const text = `${head}${documents.join('').replace(/^\.\.\.\n/, '')}${tail}`.replaceAll('\n', eol);
  return (pick(5) === 0 ? '\uFEFF' : '') + (pick(4) === 0 ? text.replace(/\r?\n$/, '') : text);
}

const valuesIn = (text: string) => {
  const { manifests, problems } = parseManifests({ name: 'test', text });
  expect(problems).toEqual([]);
  return manifests.flatMap(({ value }) => (value ? [value] : []));
};

const injected = (value: JsonObject): JsonObject => {
  const { items } = value;
  if (Array.isArray(items)) return { ...value, items: (items as JsonObject[]).map(injected) };
  return injectManifest(value, { namespace: 'default', namespaceLabels: LABELS }, defaultPolicy()).object;
};

describe('hotmount inject', { timeout: 900_000 }, () => {
  it('gives back every byte where nothing is asked', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(mapping, { maxLength: 4 }), picks, async (objects, pick) => {
        const text = stream(objects, pick);
        expect((await run([], flags, text)).stdout).toBe(text);
      }),
      { numRuns },
    );
  });

  it('gives what the core gives, document by document, and keeps all comments', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(workload, { minLength: 1, maxLength: 3 }), picks, async (objects, pick) => {
        const text = stream(objects, pick);
        const before = valuesIn(text);
        expect(before).toEqual(objects.filter((object) => Object.keys(object).length > 0));
        const { stdout, code } = await run([], flags, text);
        expect([0, 1]).toContain(code);
        expect(valuesIn(stdout)).toEqual(before.map(injected));
        expect(stdout.match(/# (?:c\d+\.|head|next|tail)/g)).toEqual(text.match(/# (?:c\d+\.|head|next|tail)/g));
      }),
      { numRuns },
    );
  });

  it('changes nothing the second time', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(workload, { minLength: 1, maxLength: 3 }), picks, async (objects, pick) => {
        const once = (await run([], flags, stream(objects, pick))).stdout;
        expect((await run([], flags, once)).stdout).toBe(once);
        for (const output of ['json', 'yaml'] as const) {
          const converted = (await run([], { ...flags, output }, once)).stdout;
          expect((await run([], { ...flags, output }, converted)).stdout).toBe(converted);
        }
        expect((await run([], { ...flags, output: 'diff' }, once)).stdout).toBe('');
      }),
      { numRuns },
    );
  });

  it('throws nothing but bad input, whatever the objects', async () => {
    const kinds = fc.constantFrom('Pod', 'Deployment', 'CronJob', 'List', 'PodList', 'Namespace', 'Service', null, 1);
    const wild = fc.tuple(mapping, kinds, fc.anything({ maxDepth: 3 })).map(([object, kind, spec]) => {
      const wilder = { ...object, apiVersion: 'v1', kind, spec, metadata: object['metadata'] ?? spec, items: spec };
      return JSON.stringify(wilder);
    });
    await fc.assert(
      fc.asyncProperty(fc.array(wild, { maxLength: 3 }), async (texts) => {
        const error = await run([], flags, texts.join('\n')).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error).not.toBeInstanceOf(ObjectError);
        if (error !== undefined) expect(error).toMatchObject({ name: 'BadInput' });
      }),
      { numRuns },
    );
  });
});
