import { type MapEntry, readMap } from './bpf.ts';
import { DEVICE_TYPE, KEY_SIZE, VALUE_SIZE } from './program.ts';
import { type DeviceAccess, ruleDevice, rulesOf } from './rule.ts';

/** A cgroup's rules as the program looks them up. @param id of the cgroup; there are none for one that has gone */
export function ruleEntries(id: bigint | undefined, access: DeviceAccess): MapEntry[] {
  if (id === undefined) return [];
  return rulesOf(access).map((rule) => {
    const key = Buffer.alloc(KEY_SIZE);
    key.writeBigUInt64LE(id, 0);
    key.writeUInt32LE(DEVICE_TYPE[rule.type], 8);
    key.writeUInt32LE(rule.major, 12);
    key.writeUInt32LE(rule.minor, 16);
    const value = Buffer.alloc(VALUE_SIZE);
    value.writeUInt32LE(access.get(ruleDevice(rule)) as number, 0);
    return [key, value];
  });
}

/** The rules of a map, by the cgroups' ids; none where it is no such map. @param map its id @throws SystemCallError */
export function readRules(map: number): Map<bigint, DeviceAccess> {
  const rules = new Map<bigint, Map<string, number>>();
  for (const [key, value] of readMap(map, KEY_SIZE, VALUE_SIZE) ?? []) {
    const id = key.readBigUInt64LE(0);
    const type = key.readUInt32LE(8) === DEVICE_TYPE.block ? 'block' : 'char';
    const device = ruleDevice({ type, major: key.readUInt32LE(12), minor: key.readUInt32LE(16) });
    const access = rules.get(id) ?? new Map<string, number>();
    rules.set(id, access.set(device, value.readUInt32LE(0)));
  }
  return rules;
}
