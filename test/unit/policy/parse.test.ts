import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { z } from 'zod';
import { defaultPolicy, defaultPolicyText, PolicyError, parsePolicy, policySchema } from '../../../src/policy/index.ts';
import { SOAK } from '../../settings.ts';
import { policyInput } from './arbitraries.ts';

const HEAD = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\n';

const EXAMPLE = `${HEAD}onViolation: warn
lxcfs:
  views: [cpuinfo, cpu]
mediaClasses:
  - name: usb
    match:
      - bus: [usb]
        fsType: [ext4, vf*]
        label: ["*"]
        removable: true
        minSize: 64Mi
        maxSize: 1.5Gi
      - { minSize: 500M, devname: ["sd?1", "!sda*"] }
      - { minSize: 4096 }
    mount:
      readOnly: true
      options: [noexec, uid=1000]
      nameBy: [uuid]
deviceClasses:
  - name: serial
    match: [{ subsystem: [tty], devname: ["ttyUSB*"] }]
    access: r
    mode: "0640"
    gid: 20
rules:
  - name: edge
    namespaces: ["edge-*"]
    namespaceLabels: { team: red, tier: [a, "b*"] }
    serviceAccounts: [copier]
    podLabels: { "app.kubernetes.io/name": "" }
    runtimeClasses: [runc, "!kata*"]
    allow:
      media: [usb]
      devices: [serial]
      dev: [/host-dev/, "/host-*"]
      propagation: [HostToContainer]
      capabilities: [CAP_NET_ADMIN, net_raw]
      uevents: [kernel]
    defaults: { media: "usb:/data:ro", dev: "/host-dev", lxcfs: "false" }
    enforce: true
`;

describe('a policy', () => {
  it('is read with sizes in bytes, modes as numbers, capabilities without CAP_ and labels as lists', () => {
    const policy = parsePolicy(EXAMPLE);
    expect(policy).toEqual({
      apiVersion: 'hotmount.io/v1alpha1',
      kind: 'Policy',
      onViolation: 'warn',
      onConflict: 'deny',
      scheduleBy: 'label',
      lxcfs: { views: ['cpuinfo', 'cpu'], onUntrue: 'keep' },
      mediaClasses: [
        {
          name: 'usb',
          match: [
            {
              bus: ['usb'],
              fsType: ['ext4', 'vf*'],
              label: ['*'],
              removable: true,
              minSize: 64 * 2 ** 20,
              maxSize: 1.5 * 2 ** 30,
            },
            { minSize: 500e6, devname: ['sd?1', '!sda*'] },
            { minSize: 4096 },
          ],
          mount: { readOnly: true, options: ['noexec', 'uid=1000'], nameBy: ['uuid'] },
        },
      ],
      deviceClasses: [
        {
          name: 'serial',
          match: [{ subsystem: ['tty'], devname: ['ttyUSB*'] }],
          access: 'r',
          mode: 0o640,
          uid: 0,
          gid: 20,
        },
      ],
      rules: [
        {
          name: 'edge',
          namespaces: ['edge-*'],
          namespaceLabels: { team: ['red'], tier: ['a', 'b*'] },
          serviceAccounts: ['copier'],
          podLabels: { 'app.kubernetes.io/name': [''] },
          runtimeClasses: ['runc', '!kata*'],
          allow: {
            lxcfs: false,
            privileged: false,
            live: false,
            media: ['usb'],
            devices: ['serial'],
            dev: ['/host-dev', '/host-*'],
            propagation: ['HostToContainer'],
            capabilities: ['NET_ADMIN', 'NET_RAW'],
            uevents: ['kernel'],
          },
          defaults: { media: 'usb:/data:ro', dev: '/host-dev', lxcfs: 'false' },
          enforce: true,
        },
      ],
    });
  });

  it('that says nothing allows nothing, and has the usual lxcfs views', () => {
    const policy = parsePolicy(HEAD);
    expect(policy).toMatchObject({ onViolation: 'deny', mediaClasses: [], deviceClasses: [], rules: [] });
    expect(policy.lxcfs.views).toEqual(['cpuinfo', 'meminfo', 'stat', 'loadavg', 'swaps', 'diskstats', 'cpu']);
    expect(parsePolicy(`${HEAD}rules: [{ name: a, namespaces: [x] }]`).rules[0]?.allow).toEqual({
      lxcfs: false,
      privileged: false,
      live: false,
      media: [],
      devices: [],
      dev: [],
      propagation: [],
      capabilities: [],
      uevents: [],
    });
  });

  it('takes JSON, a byte order mark, Windows line ends, anchors and aliases', () => {
    expect(parsePolicy(JSON.stringify({ apiVersion: 'hotmount.io/v1alpha1', kind: 'Policy' }))).toEqual(
      parsePolicy(HEAD),
    );
    expect(parsePolicy(`\uFEFF${EXAMPLE.replaceAll('\n', '\r\n')}`)).toEqual(parsePolicy(EXAMPLE));
    const aliased = `${HEAD}rules:\n  - &r { name: a, namespaces: &n [x, y] }\n  - { name: b, namespaces: *n }\n`;
    expect(parsePolicy(aliased).rules[1]?.namespaces).toEqual(['x', 'y']);
  });

  it('built in allows everyone lxcfs, knows the class usb, and nothing else', () => {
    const { rules, mediaClasses, deviceClasses, onViolation } = defaultPolicy();
    expect(rules.map(({ name, namespaces }) => [name, namespaces])).toEqual([['everyone', ['*']]]);
    const allowed = Object.entries(rules[0]?.allow ?? {}).filter(([, what]) => (Array.isArray(what) ? what[0] : what));
    expect(allowed).toEqual([['lxcfs', true]]);
    expect(mediaClasses.map(({ name }) => name)).toEqual(['usb']);
    expect([deviceClasses, onViolation]).toEqual([[], 'deny']);
    expect(defaultPolicy()).toBe(defaultPolicy());
  });
});

interface JsonSchema {
  type: string;
  description?: string;
  required?: string[];
  additionalProperties: boolean;
  properties: Record<string, JsonSchema>;
  items?: JsonSchema;
}

describe('the schema', () => {
  it('becomes a JSON Schema of what an admin writes, for the values of the chart', () => {
    const schema = z.toJSONSchema(policySchema, { io: 'input' }) as unknown as JsonSchema;
    const text = JSON.stringify(schema);
    expect(schema.required).toEqual(['apiVersion', 'kind']);
    expect(schema.additionalProperties).toBe(false);
    expect(schema.properties['deviceClasses']?.items?.properties['mode']?.type).toBe('string');
    expect(schema.properties['deviceClasses']?.items?.required).toEqual(['name', 'match']);
    expect(schema.properties['rules']?.items?.properties['enforce']?.description).toContain('win over');
    // Helm's validator has RE2, which knows no look-around.
    const patterns = [...text.matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)].map(([, pattern]) =>
      JSON.parse(pattern ?? ''),
    );
    expect(patterns.length).toBeGreaterThan(3);
    for (const pattern of patterns) expect(pattern).not.toMatch(/\(\?[=!<]/);
  });

  it('refuses what is refused from a file, given as an object', () => {
    expect(policySchema.safeParse({ apiVersion: 'hotmount.io/v1alpha1', kind: 'Policy', rulez: [] }).success).toBe(
      false,
    );
  });
});

/** Each parses a policy or two. */
const runs = SOAK ? 20_000 : 500;

describe('properties', { timeout: 600_000 }, () => {
  it('every valid policy goes through YAML and JSON and comes out the same', () => {
    fc.assert(
      fc.property(policyInput, (input) => {
        const expected = policySchema.parse(input);
        expect(parsePolicy(stringify(input))).toEqual(expected);
        expect(parsePolicy(JSON.stringify(input, undefined, 1))).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  /** Whatever the text: a policy, or a PolicyError whose positions lie in the text. */
  function check(text: string): 'valid' | 'refused' {
    try {
      parsePolicy(text);
      return 'valid';
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      const lines = text.replace(/^\uFEFF/, '').split('\n');
      expect(error.issues.length).toBeGreaterThan(0);
      for (const { line, column, message } of error.issues) {
        expect(line).toBeGreaterThanOrEqual(1);
        expect(line).toBeLessThanOrEqual(lines.length);
        expect(column).toBeGreaterThanOrEqual(1);
        expect(column).toBeLessThanOrEqual((lines[line - 1] ?? '').length + 1);
        expect(message).not.toBe('');
        expect(message).not.toMatch(/undefined|\[object|Invalid input/);
      }
      return 'refused';
    }
  }

  const scrap = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 5 }),
    fc.constantFrom(
      ...['\n', '\n  ', ': ', '- ', '[', ']', '{', '}', '"', "'", '|', '>', '&a ', '*a', '!x ', '# ', '\t', ',', '? '],
      ...['null', '1', 'true', '~', '__proto__: ', 'constructor: ', '---\n', '\r\n', '\uFEFF', '%YAML 1.1\n', '<<: *a'],
    ),
  );
  const mutated = (text: string) =>
    fc
      .array(fc.tuple(fc.nat(text.length), fc.nat(12), scrap), { minLength: 1, maxLength: 4 })
      .map((edits) => edits.reduce((all, [at, cut, put]) => all.slice(0, at) + put + all.slice(at + cut), text));
  const wrapped = (text: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: p }\ndata:\n  policy.yaml: |\n${text.replace(/^(?=.)/gm, '    ')}`;

  it('no text throws anything but a PolicyError, and positions lie in the text', () => {
    const seen = new Set<string>();
    const texts = fc.oneof(
      mutated(EXAMPLE),
      mutated(defaultPolicyText()),
      mutated(wrapped(EXAMPLE)),
      fc.string({ unit: 'binary', maxLength: 100 }),
      fc.array(scrap, { maxLength: 30 }).map((scraps) => scraps.join('')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        seen.add(check(text));
      }),
      { numRuns: runs },
    );
    expect([...seen].sort()).toEqual(['refused', 'valid']);
  });

  it('no value in place of another throws anything but a PolicyError', () => {
    const value = fc.anything({ withNullPrototype: false, maxDepth: 2 });
    const paths = [
      ['rules'],
      ['rules', 0],
      ['rules', 0, 'allow'],
      ['rules', 0, 'allow', 'media'],
      ['rules', 0, 'defaults'],
      ['rules', 0, 'podLabels'],
      ['rules', 0, 'namespaces'],
      ['mediaClasses'],
      ['mediaClasses', 0, 'match'],
      ['mediaClasses', 0, 'match', 0],
      ['mediaClasses', 0, 'match', 0, 'fsType'],
      ['mediaClasses', 0, 'mount'],
      ['mediaClasses', 0, 'mount', 'options'],
      ['lxcfs'],
    ];
    fc.assert(
      fc.property(policyInput, fc.constantFrom(...paths), value, (input, path, replacement) => {
        const copy = structuredClone(input) as object;
        let target = copy as Record<PropertyKey, unknown>;
        for (const step of path.slice(0, -1)) target = (target[step] ?? {}) as Record<PropertyKey, unknown>;
        target[path.at(-1) as PropertyKey] = replacement;
        check(JSON.stringify(copy));
      }),
      { numRuns: runs },
    );
  });
});
