import fc from 'fast-check';
import { FEATURES, type Feature } from '../../../../src/contract/annotations.ts';
import type { Json, JsonObject } from '../../../../src/contract/json.ts';
import { CONTAINERS, DEVICES, hostileText, MEDIA, pick, VOLUMES } from './basics.ts';

const list = (item: fc.Arbitrary<string>) =>
  fc.array(item, { minLength: 1, maxLength: 3 }).map((items) => items.join(','));
const path = pick('/x', '/data', '/x/', '/host-dev', '/media/usb', '/mnt/a', '/run/udev', '/a', '/a/b');
export const VALID: Readonly<Record<Feature, fc.Arbitrary<string>>> = {
  privileged: pick('true', 'true', 'false'),
  capabilities: list(pick('NET_ADMIN', 'CAP_NET_ADMIN', 'sys_admin', 'NET_RAW', 'CHOWN', 'NET_BIND_SERVICE', 'ALL')),
  uevents: pick('kernel', 'udev', 'udevd', 'false'),
  lxcfs: fc.oneof(pick('true', 'true', 'false'), list(pick('meminfo', 'cpuinfo', 'cpu', 'slabinfo'))),
  dev: fc.oneof(pick('true', 'false'), path),
  media: list(
    fc
      .tuple(
        pick(...MEDIA, ...MEDIA, ...MEDIA, ...MEDIA, 'gone'),
        fc.oneof(
          pick(''),
          path.map((p) => `:${p}`),
        ),
        pick('', '', ':ro'),
      )
      .map((parts) => parts.join('')),
  ),
  devices: list(
    fc
      .tuple(
        pick(...DEVICES),
        fc.oneof(
          pick(''),
          path.map((p) => `:${p}`),
          pick(':/dev/input'),
        ),
      )
      .map((parts) => parts.join('')),
  ),
  live: fc.oneof(pick('true', 'true', 'false'), path),
  propagation: list(
    fc
      .tuple(
        pick(...VOLUMES, ...VOLUMES, ...VOLUMES, 'hotmount-dev', 'gone'),
        pick('None', 'HostToContainer', 'HostToContainer', 'Bidirectional'),
      )
      .map(([volume, mode]) => `${volume}=${mode}`),
  ),
};
const NEARLY_VALID = pick(
  'yes', 'True', 'false ', ' true', 'memifno', 'meminfo,', 'usb:', 'usb:x', 'usb:/x:rw', 'usb:/../x', 'USB', 'NET-ADMIN', '/proc/x',
  '/dev', '/run/hotmount', 'data=Both', 'data', 'udevd,udev', 'serial:/sys', 'true,meminfo', '/x:/y',
); // biome-ignore format: a table

const annotationValue = (feature: Feature): fc.Arbitrary<Json> =>
  fc.oneof(
    { weight: 60, arbitrary: VALID[feature] },
    { weight: 1, arbitrary: NEARLY_VALID },
    { weight: 1, arbitrary: hostileText },
  );

const entry = (key: fc.Arbitrary<string>, value: fc.Arbitrary<Json>): fc.Arbitrary<readonly [string, Json]> =>
  fc.tuple(
    key.map((name) => `hotmount.io/${name}`),
    value,
  );
const featureEntry = pick(...FEATURES).chain((feature) =>
  entry(fc.constant(feature as string), annotationValue(feature)),
);
const overrideEntry = fc
  .tuple(pick(...FEATURES), pick(...CONTAINERS, 'ghost'))
  .chain(([feature, container]) => entry(fc.constant(`${feature}.${container}`), annotationValue(feature)));
const selection = fc.oneof(pick('app', '*', 'app,db', 'db,ghost', 'setup'), hostileText);
const oddEntry = fc.oneof(
  entry(fc.constant('inject'), fc.oneof(pick('false', 'true', 'no'), hostileText)),
  entry(fc.constant('schedule'), pick('true', 'true', 'false', 'here')),
  entry(fc.constant('containers'), selection),
  entry(fc.constant('containers'), pick('app', '*', 'app,setup')),
  entry(
    pick('lxcsf', 'LXCFS', 'inject.app', 'containers.app', 'lxcfs.', '', '__proto__', `lxcfs.${'n'.repeat(60)}`),
    VALID.lxcfs,
  ),
  entry(hostileText, hostileText),
  entry(
    pick('lxcfs', 'inject', 'containers', 'status', 'from-workload'),
    fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>,
  ),
  fc.tuple(pick('__proto__', 'constructor', 'example.com/a', 'kubernetes.io/config.mirrored'), hostileText),
);
const asking = fc.oneof({ weight: 12, arbitrary: featureEntry }, { weight: 4, arbitrary: overrideEntry });
/** What goes together, and chance would seldom bring together. */
const together = fc.oneof(
  { weight: 12, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: pick(
      { 'hotmount.io/privileged': 'true', 'hotmount.io/propagation': 'data=Bidirectional' },
      { 'hotmount.io/uevents': 'udevd', 'hotmount.io/dev': '/x' },
      { 'hotmount.io/uevents': 'udev' },
    ),
  },
);

/** The annotations that a user may write, `hotmount.io/` and others. */
export const annotations: fc.Arbitrary<JsonObject> = fc
  .tuple(
    fc.array(asking, { maxLength: 4 }),
    fc.oneof({ weight: 8, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(oddEntry, { maxLength: 2 }) }),
    together,
  )
  .map(([asked, odd, pair]) => ({ ...Object.fromEntries([...asked, ...odd]), ...pair }));

/** Those that a workload may have: lists and objects in their place are refused outright. */
export const scalarAnnotations: fc.Arbitrary<JsonObject> = annotations.map((own) =>
  Object.fromEntries(Object.entries(own).filter(([, value]) => typeof value !== 'object' || value === null)),
);

const asWritten = annotations.map((own) =>
  JSON.stringify(Object.fromEntries(Object.entries(own).filter(([key]) => key.startsWith('hotmount.io/')))),
);
const carried = fc.oneof(
  { weight: 10, arbitrary: asWritten },
  { weight: 1, arbitrary: annotations.map((own) => JSON.stringify(own)) },
  { weight: 1, arbitrary: hostileText },
  { weight: 1, arbitrary: pick('[]', 'null', '{"hotmount.io/status":"x"}', '{"__proto__":{"a":1}}', '{}') },
);

export const podAnnotations: fc.Arbitrary<JsonObject> = fc
  .tuple(annotations, fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: carried }))
  .map(([own, fromWorkload]) =>
    fromWorkload === undefined ? own : { ...own, 'hotmount.io/from-workload': fromWorkload },
  );
