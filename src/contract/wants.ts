import type { Feature } from './annotations.ts';
import { CAPABILITIES, isCapability, normalizeCapability } from './capabilities.ts';
import { normalizePath, pathProblem } from './paths.ts';
import { didYouMean, quote } from './suggest.ts';

/** The lxcfs views, with the path that each covers in a container. */
export const LXCFS_VIEWS = {
  cpuinfo: '/proc/cpuinfo',
  meminfo: '/proc/meminfo',
  stat: '/proc/stat',
  uptime: '/proc/uptime',
  loadavg: '/proc/loadavg',
  swaps: '/proc/swaps',
  diskstats: '/proc/diskstats',
  slabinfo: '/proc/slabinfo',
  cpu: '/sys/devices/system/cpu',
} as const;
export type LxcfsView = keyof typeof LXCFS_VIEWS;
export const LXCFS_VIEW_NAMES = Object.keys(LXCFS_VIEWS) as LxcfsView[];

export const PROPAGATION_MODES = ['None', 'HostToContainer', 'Bidirectional'] as const;
export type PropagationMode = (typeof PROPAGATION_MODES)[number];

export const UEVENT_ACCESS = ['kernel', 'udev', 'udevd'] as const;
export type UeventAccess = (typeof UEVENT_ACCESS)[number];

/** Where the node's /dev appears when the user names no path. */
export const DEFAULT_DEV_PATH = '/host-dev';

/** Where the directory of a live pod appears when the user names no path. */
export const DEFAULT_LIVE_PATH = '/hotmount';

/** One thing that one annotation asks for: what policy rules allow or do not, and what a pod gets or does not. */
export type Want =
  | { readonly feature: 'lxcfs' /** undefined: the policy's */; readonly views: readonly LxcfsView[] | undefined }
  | { readonly feature: 'dev'; readonly path: string }
  | { readonly feature: 'media'; readonly class: string; readonly path: string; readonly readOnly: boolean }
  | { readonly feature: 'devices'; readonly class: string; readonly path: string }
  | { readonly feature: 'live'; readonly path: string }
  | { readonly feature: 'propagation'; readonly volume: string; readonly mode: PropagationMode }
  | { readonly feature: 'capabilities'; readonly capability: string }
  | { readonly feature: 'uevents'; readonly access: UeventAccess }
  | { readonly feature: 'privileged' };
export type WantOf<F extends Feature> = Extract<Want, { feature: F }>;

export type ParsedValue = { readonly wants: readonly Want[] } | { /** what would be right */ readonly problem: string };

/**
 * Reads the value of a feature's annotation, or of a policy default. `"false"` wants nothing, for every feature.
 * Never throws: a value that does not parse comes back as a problem, a phrase that goes after the quoted value.
 */
export function parseValue(feature: Feature, value: string): ParsedValue {
  const text = value.trim();
  return text === 'false' ? { wants: [] } : orProblem(() => ({ wants: unique(PARSERS[feature](text)) }));
}

/** Names, separated by commas. Never throws, like `parseValue`. */
export function parseNames(value: string): { readonly names: readonly string[] } | { readonly problem: string } {
  return orProblem(() => ({ names: [...new Set(items(value.trim(), 'names, separated by commas'))] }));
}

/** Leaves a parser from wherever it is. */
class Problem extends Error {}

function orProblem<T>(parse: () => T): T | { problem: string } {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Problem) return { problem: error.message };
    throw error;
  }
}

const PARSERS: { [F in Feature]: (text: string) => Want[] } = {
  privileged: (text) => {
    if (text !== 'true') throw new Problem('expected "true" or "false"');
    return [{ feature: 'privileged' }];
  },

  capabilities: (text) =>
    items(text, 'capabilities such as "NET_ADMIN", separated by commas').map((item) => {
      const capability = normalizeCapability(item);
      if (!isCapability(capability)) {
        throw new Problem(`there is no capability ${quote(item)}${didYouMean(capability, CAPABILITIES)}`);
      }
      return { feature: 'capabilities', capability };
    }),

  uevents: (text) => [{ feature: 'uevents', access: oneOf(text, UEVENT_ACCESS) }],

  lxcfs: (text) => {
    if (text === 'true') return [{ feature: 'lxcfs', views: undefined }];
    const named = items(text, '"true", or views separated by commas');
    if (named.includes('true')) throw new Problem('"true" stands alone: list the views instead');
    const views = named.map((item) => oneOf(item, LXCFS_VIEW_NAMES, ['true', 'false']));
    return [{ feature: 'lxcfs', views: LXCFS_VIEW_NAMES.filter((view) => views.includes(view)) }];
  },

  dev: (text) => [{ feature: 'dev', path: text === 'true' ? DEFAULT_DEV_PATH : mountPath(text, '"true" or a path') }],

  media: (text) =>
    items(text, '"class", "class:path" or "class:path:ro", separated by commas').map((item) => {
      const parts = item.split(':');
      const readOnly = parts.length > 1 && parts.at(-1) === 'ro';
      if (readOnly) parts.pop();
      const { name, path } = classAt(parts, item, 'media', '"class", "class:path" or "class:path:ro"');
      return { feature: 'media', class: name, path, readOnly };
    }),

  devices: (text) =>
    items(text, '"class" or "class:path", separated by commas').map((item) => {
      const { name, path } = classAt(item.split(':'), item, 'dev/hotmount', '"class" or "class:path"');
      return { feature: 'devices', class: name, path };
    }),

  live: (text) => [
    { feature: 'live', path: text === 'true' ? DEFAULT_LIVE_PATH : mountPath(text, '"true" or a path') },
  ],

  propagation: (text) => {
    const volumes = new Set<string>();
    return items(text, '"volume=mode", separated by commas').map((item) => {
      const [volume, mode, ...rest] = item.split('=').map((part) => part.trim());
      if (!volume || !mode || rest.length > 0) {
        throw new Problem(`expected "volume=mode" in place of ${quote(item)}, such as "data=HostToContainer"`);
      }
      if (volumes.has(volume)) throw new Problem(`${quote(volume)} is there twice`);
      volumes.add(volume);
      return { feature: 'propagation', volume, mode: oneOf(mode, PROPAGATION_MODES) };
    });
  },
};

/** More than anybody means; what one pod can cost us must have a bound. */
const MAX_ITEMS = 64;
const MAX_LENGTH = 32_768;

function items(text: string, expected: string): string[] {
  if (text.length > MAX_LENGTH) throw new Problem(`it is longer than ${MAX_LENGTH} characters`);
  const found = text.split(',').map((item) => item.trim());
  if (found.length > MAX_ITEMS) throw new Problem(`it lists ${found.length} items, and ${MAX_ITEMS} is the most`);
  if (found.includes('')) throw new Problem(`expected ${expected}; ${text === '' ? 'it is' : 'an item is'} empty`);
  return found;
}

function oneOf<T extends string>(word: string, known: readonly T[], also: readonly string[] = []): T {
  const match = known.find((k) => k === word);
  if (match !== undefined) return match;
  const all = [...also, ...known];
  const hint = didYouMean(word, all) || `; expected ${all.join(', ')}`;
  throw new Problem(`${quote(word)} is not one of its values${hint}`);
}

function mountPath(path: string, expected: string): string {
  const problem = pathProblem(path);
  if (problem) throw new Problem(`expected ${expected}; ${quote(path)} ${problem}`);
  return normalizePath(path);
}

function classAt(parts: readonly string[], item: string, below: string, expected: string) {
  const [name, path, ...rest] = parts.map((part) => part.trim());
  if (!name || path === '' || rest.length > 0) throw new Problem(`expected ${expected} in place of ${quote(item)}`);
  if (!isClassName(name)) throw new Problem(`${quote(name)} ${CLASS_NAME_RULE}`);
  return { name, path: path === undefined ? `/${below}/${name}` : mountPath(path, expected) };
}

/** Class names become volume names and paths; `true` and `false` are words of the annotations' grammar. */
export const isClassName = (name: string): boolean =>
  /^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$/.test(name) && name !== 'true' && name !== 'false';
export const CLASS_NAME_RULE =
  'cannot be the name of a class: a DNS label of at most 40 characters (a-z, 0-9, "-"), not "true" or "false"';

function unique(wants: readonly Want[]): readonly Want[] {
  return [...new Map(wants.map((want) => [JSON.stringify(want), want])).values()];
}
