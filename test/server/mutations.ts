import fc from 'fast-check';
import type { Json } from '../../src/contract/json.ts';
import { LXCFS, podWith, reviewOf } from './support.ts';

const EVERYTHING = {
  ...LXCFS,
  'hotmount.io/containers': '*',
  'hotmount.io/media': 'usb:/media/usb:ro',
  'hotmount.io/devices': 'serial',
  'hotmount.io/dev': '/host-dev',
  'hotmount.io/propagation': 'data=HostToContainer',
  'hotmount.io/capabilities': 'NET_ADMIN,CAP_NET_RAW',
  'hotmount.io/uevents': 'udev',
  'hotmount.io/lxcfs.side': 'false',
};
const spec = {
  serviceAccountName: 'copier',
  securityContext: { runAsNonRoot: true },
  initContainers: [{ name: 'side', image: 'registry.example/side', restartPolicy: 'Always' }],
  containers: [
    {
      name: 'app',
      image: 'registry.example/app',
      env: [{ name: 'A', value: 'b' }],
      ports: [{ containerPort: 80 }],
      securityContext: { capabilities: { add: ['CHOWN'], drop: ['ALL'] } },
      volumeMounts: [{ name: 'data', mountPath: '/data', mountPropagation: 'None' }],
    },
  ],
  volumes: [{ name: 'data', emptyDir: {} }],
};
const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', annotations: EVERYTHING, labels: { app: 'web' } },
  spec: { template: { metadata: { annotations: { 'hotmount.io/lxcfs': 'cpuinfo' } }, spec } },
};
const SEEDS = [
  reviewOf({ ...podWith(EVERYTHING), spec }),
  reviewOf({ ...podWith({ 'hotmount.io/inject': 'false' }), spec }),
  reviewOf(deployment, { kind: { group: 'apps', version: 'v1', kind: 'Deployment' } }),
];

/** Lone surrogates included. fast-check's own `binary` takes a second to set up. */
const UTF16_UNIT = fc.nat(0xffff).map((code) => String.fromCharCode(code));

/** What is put in the place of something else: other types, other sizes, names with a meaning to JavaScript. */
const strange: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(
    null,
    true,
    0,
    -1,
    1e308,
    '',
    [],
    {},
    [null],
    [[]],
    '__proto__',
    'constructor',
    '/..',
    '\u0000',
    '\ud800',
  ),
  fc.constantFrom(...Object.keys(EVERYTHING), ...Object.values(EVERYTHING)),
  fc.constant({
    ['__proto__']: { allowed: true },
    constructor: { prototype: 1 },
    toJSON: 1,
    toString: null,
    length: -1,
  }),
  // What cannot be made text of: `String(value)` throws.
  fc.constant({ toString: 1, valueOf: 1 }),
  fc.string({ unit: UTF16_UNIT, maxLength: 30 }),
  fc.jsonValue() as fc.Arbitrary<Json>,
  fc.constant('x'.repeat(20_000)),
);

/** A review with some of its parts replaced, removed, or put somewhere else under another name. */
const reshaped: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom(...SEEDS),
    fc.array(
      fc.record({ at: fc.nat(), value: strange, key: fc.option(fc.string({ maxLength: 40 })), drop: fc.boolean() }),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
  )
  .map(([seed, changes]) => {
    const review = JSON.parse(seed);
    for (const { at, value, key, drop } of changes) {
      const places = placesIn(review);
      const place = places[at % places.length];
      if (!place) continue;
      if (drop) delete place.parent[place.key];
      else place.parent[Array.isArray(place.parent) ? place.key : (key ?? place.key)] = structuredClone(value);
    }
    return JSON.stringify(review);
  });

/** A review as damaged text. */
const damaged: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.constantFrom(...SEEDS),
    fc.array(fc.tuple(fc.nat(), fc.nat(20), fc.uint8Array({ maxLength: 8 })), { minLength: 1, maxLength: 5 }),
  )
  .map(([seed, edits]) => {
    let bytes = Buffer.from(seed);
    for (const [at, length, put] of edits) {
      const start = at % (bytes.length + 1);
      bytes = Buffer.concat([bytes.subarray(0, start), put, bytes.subarray(start + length)]);
    }
    return bytes;
  });

/** Bodies that no API server would send, and some that one could. */
export const bodies: fc.Arbitrary<string | Buffer> = fc.oneof(
  { weight: 12, arbitrary: reshaped },
  { weight: 4, arbitrary: damaged },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.json() },
);

interface Place {
  // biome-ignore lint/suspicious/noExplicitAny: any JSON, changed in place
  readonly parent: any;
  readonly key: string;
}

function placesIn(value: unknown, found: Place[] = []): Place[] {
  if (typeof value === 'object' && value !== null) {
    for (const key of Object.keys(value)) {
      found.push({ parent: value, key });
      placesIn((value as Record<string, unknown>)[key], found);
    }
  }
  return found;
}
