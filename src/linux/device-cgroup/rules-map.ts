import { type MapEntry, readMap } from './bpf.ts';
import type { Grants } from './controller.ts';
import { DEVICE_TYPE, KEY_SIZE, VALUE_SIZE } from './program.ts';
import { type DeviceAccess, deviceKey, rulesOf } from './rule.ts';

/** A cgroup's rules as the program looks them up. @param id of the cgroup */
export const ruleEntries = (id: bigint, access: DeviceAccess): MapEntry[] =>
  rulesOf(access).map((rule) => {
    const key = Buffer.alloc(KEY_SIZE);
    key.writeBigUInt64LE(id, 0);
    key.writeUInt32LE(DEVICE_TYPE[rule.type], 8);
    key.writeUInt32LE(rule.major, 12);
    key.writeUInt32LE(rule.minor, 16);
    const value = Buffer.alloc(VALUE_SIZE);
    value.writeUInt32LE(access.get(deviceKey(rule)) as number, 0);
    return [key, value];
  });

/**
 * Reads a map of rules.
 * @param map its id
 * @param paths of the cgroups by their ids; what is for others is left out
 * @returns empty where it is no such map
 */
export function readRules(map: number, paths: ReadonlyMap<bigint, string>): Grants {
  const grants = new Map<string, Map<string, number>>();
  for (const [key, value] of readMap(map, KEY_SIZE, VALUE_SIZE) ?? []) {
    const path = paths.get(key.readBigUInt64LE(0));
    if (path === undefined) continue;
    const type = key.readUInt32LE(8) === DEVICE_TYPE.block ? 'block' : 'char';
    const device = deviceKey({ type, major: key.readUInt32LE(12), minor: key.readUInt32LE(16) });
    const access = grants.get(path) ?? new Map<string, number>();
    grants.set(path, access.set(device, value.readUInt32LE(0)));
  }
  return grants;
}
