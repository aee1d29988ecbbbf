import fc from 'fast-check';
import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { judge } from '../../../src/commands/kubectl/check.ts';
import { formatClusterStatus } from '../../../src/commands/kubectl/cluster-status.ts';
import { readStatus } from '../../../src/commands/kubectl/read-status.ts';
import { SEED } from '../../settings.ts';
import { busy, idle, NOW } from './cluster.ts';

const look = { now: NOW, width: 80, colors: picocolors.createColors(false), wide: true, namespace: undefined };

const UNSEEN = {
  systemNamespace: 'hotmount-system',
  webhookPods: [],
  caBundles: undefined,
  dryRun: { admitted: true },
  driver: undefined,
  csiNodes: [],
  policy: { configMap: 'hotmount-system/hotmount-policy', digest: 'x' },
  namespaces: undefined,
  now: NOW,
};

describe('what a node answers', () => {
  it.each([idle(), busy(), idle({ lxcfs: { problem: 'nobody' } })])('is read as it is', (status) => {
    expect(readStatus(JSON.stringify(status))).toEqual(status);
  });

  it.each(['', 'no JSON', '{"daemon":null,"mounted":[]}'])('may come from no daemon: %s', (text) => {
    expect(readStatus(text)).toBeUndefined();
  });

  it.each<[string, RegExp]>([
    ['{}', /daemon is no object$/],
    ['null', /it is no object$/],
    ['[]', /it is no object$/],
    ['3', /it is no object$/],
    ['{"daemon":{}}', /daemon\.version is no string$/],
    [JSON.stringify({ ...idle(), mounted: {} }), /mounted is no list \(its version is 0\.1\.0\)$/],
    [JSON.stringify({ ...idle(), notMounted: [{ disk: 'a' }] }), /notMounted\[0\]\.kind is no string/],
    [JSON.stringify({ ...idle(), lxcfs: { instances: [] } }), /lxcfs\.ready is no boolean/],
  ])('is refused with the field that is wrong: %s', (text, message) => {
    expect(() => readStatus(text)).toThrow(message);
  });

  it('may come from a supervisor that does not know untrue views', () => {
    const { untrueViews, ...lxcfs } = idle().lxcfs as { untrueViews: unknown };
    const read = readStatus(JSON.stringify({ ...idle(), lxcfs }));
    expect(read?.lxcfs).toMatchObject({ untrueViews: [] });
  });

  it('is refused or shown, whatever is left out or changed at random', () => {
    const paths = pathsOf(busy());
    const changes = fc.array(fc.tuple(fc.constantFrom(...paths), fc.constantFrom(undefined, null, 1, 'x', [], {})), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(changes, (changed) => {
        const status = structuredClone(busy()) as unknown;
        for (const [path, value] of changed) put(status, path, value);
        let read: ReturnType<typeof readStatus>;
        try {
          read = readStatus(JSON.stringify(status));
        } catch (error) {
          expect((error as Error).message).toContain('its answer is no status');
          return;
        }
        if (!read) return;
        const nodes = [{ node: 'n', status: read }];
        formatClusterStatus({ apiVersion: 'hotmount.io/v1alpha1', kind: 'ClusterStatus', nodes }, look);
        judge({ ...UNSEEN, reports: nodes });
      }),
      { seed: SEED },
    );
  });
});

type Path = readonly string[];

const pathsOf = (value: unknown, path: Path = []): Path[] =>
  typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([key, inner]) => [[...path, key], ...pathsOf(inner, [...path, key])])
    : [];

function put(value: unknown, [key = '', ...rest]: Path, to: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  const object = value as Record<string, unknown>;
  if (rest.length > 0) put(object[key], rest, to);
  else object[key] = to;
}
