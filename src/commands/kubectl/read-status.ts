import { isObject, type Json, type JsonObject } from '../../contract/json.ts';
import type { NodeStatus } from '../../node/status.ts';

type Shape = 'string' | 'number' | 'boolean' | Fields | readonly [Shape];
interface Fields {
  readonly [field: string]: Shape;
}

const REASON = { reason: 'string', message: 'string' } as const;
const WHOSE = { 'pod?': 'string', 'podUid?': 'string', 'cgroup?': 'string' } as const;

/** What the plugin goes by. Lists are `[what is in them]`; with `?`, a field may be left out, as daemons of earlier versions do. */
const NODE_STATUS: Fields = {
  daemon: {
    version: 'string',
    'kernel?': 'string',
    'cgroups?': 'string',
    startedAt: 'string',
    ready: 'boolean',
    'problem?': 'string',
    'failing?': ['string'],
  },
  policy: { 'digest?': 'string', deviceClasses: ['string'], 'problem?': 'string' },
  mounted: [
    {
      disk: 'string',
      class: 'string',
      fsType: 'string',
      label: 'string',
      path: 'string',
      since: 'string',
      'pods?': [WHOSE],
      'notes?': [REASON],
    },
  ],
  notMounted: [{ disk: 'string', kind: 'string', ...REASON }],
  devices: [
    {
      device: 'string',
      class: 'string',
      path: 'string',
      since: 'string',
      containers: [{ state: 'string', 'reason?': 'string', 'message?': 'string', ...WHOSE }],
    },
  ],
  devicesLeft: [{ device: 'string', kind: 'string', ...REASON }],
  unclaimed: [{ device: 'string', match: 'string' }],
  departed: [{ name: 'string', holders: [{ command: 'string', path: 'string', ...WHOSE }] }],
  'devicesProblem?': 'string',
  'csi?': { registered: 'boolean', volumes: 'number', 'problem?': 'string' },
  'live?': {
    pods: [{ podUid: 'string', pod: 'string', media: ['string'], devices: ['string'], notGiven: [REASON] }],
    'problem?': 'string',
  },
  'devicePlugin?': {
    resources: [{ name: 'string', count: 'number', registered: 'boolean', 'problem?': 'string' }],
    'problem?': 'string',
  },
  'lxcfs?': { 'problem?': 'string' },
};

const LXCFS: Fields = {
  ready: 'boolean',
  views: ['string'],
  missingViews: ['string'],
  'untrueViews?': [{ view: 'string', why: 'string' }],
  instances: [{ role: 'string', version: 'string' }],
  unhealed: [{ path: 'string', reason: 'string', ...WHOSE }],
};

/**
 * Reads what `hotmount status -o json` has printed on a node; undefined where no daemon has answered it.
 * @throws Error that names the field, where it is no status
 */
export function readStatus(stdout: string): NodeStatus | undefined {
  const status = parse(stdout);
  if (status === undefined || (isObject(status) && status['daemon'] === null)) return undefined;
  const lxcfs = isObject(status) && isObject(status['lxcfs']) ? status['lxcfs'] : {};
  const wrong = misfit(status, NODE_STATUS, '') ?? ('instances' in lxcfs ? misfit(lxcfs, LXCFS, 'lxcfs') : undefined);
  if (wrong === undefined) return withUntrueViews(status as unknown as NodeStatus);
  const version = isObject(status) && isObject(status['daemon']) ? status['daemon']['version'] : undefined;
  const of = typeof version === 'string' ? ` (its version is ${version})` : '';
  throw new Error(`its answer is no status that this version of kubectl hotmount knows: ${wrong}${of}`);
}

/** A supervisor of an earlier version does not tell. */
function withUntrueViews(status: NodeStatus): NodeStatus {
  const { lxcfs } = status;
  if (!lxcfs || !('instances' in lxcfs)) return status;
  return { ...status, lxcfs: { ...lxcfs, untrueViews: lxcfs.untrueViews ?? [] } };
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Where a value is not as it should be, in words. */
function misfit(value: Json | undefined, shape: Shape, path: string): string | undefined {
  if (typeof shape === 'string') return typeof value === shape ? undefined : `${path} is no ${shape}`;
  if (isList(shape)) {
    if (!Array.isArray(value)) return `${path} is no list`;
    return first(value.entries(), ([index, item]) => misfit(item, shape[0], `${path}[${index}]`));
  }
  if (!isObject(value)) return `${path || 'it'} is no object`;
  return first(Object.entries(shape), ([key, inner]) => fieldMisfit(value, key, inner, path));
}

function fieldMisfit(object: JsonObject, key: string, shape: Shape, path: string): string | undefined {
  const name = key.replace('?', '');
  if (name !== key && object[name] === undefined) return undefined;
  return misfit(object[name], shape, path ? `${path}.${name}` : name);
}

const isList = (shape: Fields | readonly [Shape]): shape is readonly [Shape] => Array.isArray(shape);

function first<T>(items: Iterable<T>, of: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = of(item);
    if (found !== undefined) return found;
  }
  return undefined;
}
