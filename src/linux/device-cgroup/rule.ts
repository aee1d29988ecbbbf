/** A device number and what may be done with it. Making a node of it (`mknod`) is not ours to give. */
export interface DeviceRule {
  readonly type: 'char' | 'block';
  readonly major: number;
  readonly minor: number;
  readonly access: 'r' | 'w' | 'rw';
}

/** What may be done with a device, as the kernel counts it on v1 and v2 alike (linux/device_cgroup.h, linux/bpf.h: BPF_DEVCG_ACC_*). */
export const ACCESS = { mknod: 1, read: 2, write: 4 } as const;

const LETTERS = [
  ['r', ACCESS.read],
  ['w', ACCESS.write],
  ['m', ACCESS.mknod],
] as const;

/** `rw` → 6. Letters that mean nothing are passed over. */
export const accessBits = (letters: string): number =>
  LETTERS.reduce((bits, [letter, bit]) => (letters.includes(letter) ? bits | bit : bits), 0);

/** 6 → `rw` */
export const accessLetters = (bits: number): string =>
  LETTERS.filter(([, bit]) => bits & bit)
    .map(([letter]) => letter)
    .join('');

/** The device of a rule as device cgroups write it, and hotmount shows it: `c 188:0`. */
export const ruleDevice = ({ type, major, minor }: Pick<DeviceRule, 'type' | 'major' | 'minor'>): string =>
  `${type === 'char' ? 'c' : 'b'} ${major}:${minor}`;

/** The same from a device's key, `c188:0`, as udev writes it. */
export const ruleDeviceOf = (key: string): string => `${key.slice(0, 1)} ${key.slice(1)}`;

/** Devices and the access to each, in bits: a set of rules in which each device is named once. */
export type DeviceAccess = ReadonlyMap<string, number>;

/** Unites rules: of several for one device, what any of them gives. */
export function uniteRules(rules: Iterable<DeviceRule>): Map<string, number> {
  const access = new Map<string, number>();
  for (const rule of rules) {
    const key = ruleDevice(rule);
    access.set(key, (access.get(key) ?? 0) | accessBits(rule.access));
  }
  return access;
}

/** The rules of a set, in a fixed order. */
export function rulesOf(access: DeviceAccess): DeviceRule[] {
  return [...access]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, bits]) => {
      const [type, major, minor] = key.split(/[ :]/);
      return {
        type: type === 'c' ? 'char' : 'block',
        major: Number(major),
        minor: Number(minor),
        access: accessLetters(bits) as DeviceRule['access'],
      };
    });
}

/** What both give. */
export function intersect(a: DeviceAccess, b: DeviceAccess): Map<string, number> {
  const both = new Map<string, number>();
  for (const [key, bits] of a) {
    const common = bits & (b.get(key) ?? 0);
    if (common) both.set(key, common);
  }
  return both;
}

/** What the first gives and the second does not. */
export function subtract(a: DeviceAccess, b: DeviceAccess): Map<string, number> {
  const rest = new Map<string, number>();
  for (const [key, bits] of a) {
    const left = bits & ~(b.get(key) ?? 0);
    if (left) rest.set(key, left);
  }
  return rest;
}

/** Whether it gives nothing. */
export const isEmpty = (access: DeviceAccess): boolean => access.size === 0;

/** Whether both give the same, in whatever order. */
export const sameAccess = (a: DeviceAccess, b: DeviceAccess): boolean =>
  a.size === b.size && [...a].every(([key, bits]) => b.get(key) === bits);
