import type { JsonObject } from '../contract/json.ts';
import { type Finding, finding } from '../contract/reasons.ts';
import { quote } from '../contract/suggest.ts';
import type { Want } from '../contract/wants.ts';
import { type DeviceClass, deviceDirectory, matchesGlobs, type Policy } from '../policy/index.ts';
import type { Ask } from './intent.ts';

/** What a user should know of something that the pod may have. */
export interface Caution {
  readonly finding: Finding;
  /** It cannot do what it is for: a default of it is left out. */
  readonly isUseless: boolean;
}

/** Why what is given may not do what the user expects. Pure. */
export function cautionsOf(ask: Ask, spec: JsonObject, policy: Policy): readonly Caution[] {
  const { annotation, want } = ask;
  const found: Caution[] = [];
  const runtime = sandboxOf(spec);
  if (runtime !== undefined && comesFromTheNode(want)) {
    found.push({ finding: finding('sandboxed_runtime', { annotation, runtime: quote(runtime) }), isUseless: true });
  }
  if (want.feature === 'lxcfs') {
    const shared = SHARED_PIDS.find(({ field }) => spec[field] === true);
    if (shared) found.push({ finding: finding('lxcfs_shared_pids', { annotation, ...shared }), isUseless: true });
  }
  if (want.feature !== 'devices') return found;
  const deviceClass = policy.deviceClasses.find(({ name }) => name === want.class);
  if (deviceClass === undefined) return found;
  const expected = STANDARD_PATHS[want.path];
  if (expected !== undefined && deviceClass.directory === undefined && !suits(expected, deviceClass)) {
    const parameters = { annotation, path: want.path, class: want.class, directory: expected };
    found.push({ finding: finding('device_directory', parameters), isUseless: false });
  }
  return found;
}

/**
 * Runtimes that start a virtual machine, or a kernel of their own, and see neither the node's later mounts nor its devices. Goes by the
 * RuntimeClass's name: what handler it stands for, only the node knows.
 */
const SANDBOXES = ['kata*', 'gvisor*', 'runsc*', '*firecracker*', '*confidential*', 'peer*pod*', 'wasm*', 'spin*'];

function sandboxOf(spec: JsonObject): string | undefined {
  const name = spec['runtimeClassName'];
  return typeof name === 'string' && matchesGlobs(SANDBOXES, name) ? name : undefined;
}

const comesFromTheNode = ({ feature }: Want): boolean => ['lxcfs', 'dev', 'media', 'devices', 'live'].includes(feature);

/** lxcfs shows the limits of the cgroup of the first process in the reader's PID namespace (lxcfs, bindings.c, lookup_initpid_in_store). */
const SHARED_PIDS = [
  { field: 'hostPID', whose: "the node's" },
  { field: 'shareProcessNamespace', whose: "the sandbox's" },
];

/** Where programs look for devices by themselves, with the directory of the kernel's names that is there. */
const STANDARD_PATHS: Readonly<Record<string, string>> = {
  '/dev/bus/usb': 'bus/usb',
  '/dev/input': 'input',
  '/dev/snd': 'snd',
  '/dev/dri': 'dri',
  '/dev/net': 'net',
  '/dev/dvb': 'dvb',
  '/dev/usb': 'usb',
  '/dev/accel': 'accel',
};

const suits = (expected: string, deviceClass: DeviceClass): boolean => deviceDirectory(deviceClass) === expected;
