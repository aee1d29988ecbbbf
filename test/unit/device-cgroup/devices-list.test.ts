import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  allows,
  exactBits,
  formatRecord,
  missing,
  parseDevicesList,
  parseRecord,
  without,
} from '../../../src/linux/device-cgroup/devices-list.ts';
import {
  accessBits,
  accessLetters,
  type DeviceRule,
  intersect,
  ruleDevice,
  rulesOf,
  sameAccess,
  subtract,
  uniteRules,
} from '../../../src/linux/device-cgroup/rule.ts';

const number = fc.constantFrom(0, 1, 2, 300, 1_048_575);
const rule: fc.Arbitrary<DeviceRule> = fc.record({
  type: fc.constantFrom('char', 'block'),
  major: number,
  minor: number,
  access: fc.constantFrom('r', 'w', 'rw'),
});
const rules = fc.array(rule, { maxLength: 8 });

/** A list as the kernel keeps it: one line for a device or wildcard. */
const list = fc
  .uniqueArray(
    fc.record({
      type: fc.constantFrom('c', 'b'),
      major: fc.oneof(number, fc.constant('*')),
      minor: fc.oneof(number, fc.constant('*')),
      access: fc.constantFrom('r', 'w', 'rw', 'm', 'rm', 'rwm'),
    }),
    { maxLength: 8, selector: ({ type, major, minor }) => `${type} ${major}:${minor}` },
  )
  .map((lines) => lines.map(({ type, major, minor, access }) => `${type} ${major}:${minor} ${access}\n`).join(''));

/** What the kernel does with a line written to devices.allow or devices.deny (dev_exception_add, dev_exception_rm). */
class FakeCgroup {
  readonly lines = new Map<string, number>();

  constructor(text: string) {
    for (const line of text.split('\n').filter(Boolean)) {
      const [, key, letters] = /^(\S+ \S+) (\S+)$/.exec(line) ?? [];
      this.lines.set(key as string, accessBits(letters as string));
    }
  }

  allow(key: string, bits: number): void {
    this.lines.set(key, (this.lines.get(key) ?? 0) | bits);
  }

  deny(key: string, bits: number): void {
    const left = (this.lines.get(key) ?? 0) & ~bits;
    if (left) this.lines.set(key, left);
    else this.lines.delete(key);
  }

  get text(): string {
    return [...this.lines].map(([key, bits]) => `${key} ${accessLetters(bits)}\n`).join('');
  }
}

describe('devices.list', () => {
  it('is read as the kernel writes it', () => {
    const parsed = parseDevicesList('c 136:* rwm\nb *:* m\nb 253:2 r\n');
    expect(parsed.allowsAll).toBe(false);
    expect(allows(parsed, 'c 136:7', accessBits('rw'))).toBe(true);
    expect(allows(parsed, 'b 136:7', accessBits('r'))).toBe(false);
    expect(allows(parsed, 'b 7:7', accessBits('m'))).toBe(true);
    expect(allows(parsed, 'b 253:2', accessBits('r'))).toBe(true);
    expect(allows(parsed, 'b 253:2', accessBits('rm'))).toBe(false);
    expect(parseDevicesList('a *:* rwm\n')).toEqual({ allowsAll: true, exceptions: [] });
    expect(parseDevicesList('')).toEqual({ allowsAll: false, exceptions: [] });
  });

  it('that no kernel writes is not guessed at', () => {
    for (const line of ['b 1:2', 'x 1:2 r', 'b 1 r', 'b -1:2 r', 'b 1:2 rwx', ' b 1:2 r']) {
      expect(() => parseDevicesList(line)).toThrow(/not a line of devices.list/);
    }
  });

  it('has one line allow it all: two that allow a half each do not', () => {
    const parsed = parseDevicesList('b 253:* r\nb 253:2 w\n');
    expect(allows(parsed, 'b 253:2', accessBits('rw'))).toBe(false);
    expect([...missing(parsed, new Map([['b 253:2', accessBits('rw')]]))]).toEqual([['b 253:2', accessBits('r')]]);
  });
});

describe('what is missing from a list', () => {
  it('makes all allowed that is wanted, names nothing that is there, and taken back leaves the list as it was', () => {
    fc.assert(
      fc.property(list, rules, (text, wanted) => {
        const access = uniteRules(wanted);
        const cgroup = new FakeCgroup(text);
        const before = new Map(cgroup.lines);
        const added = missing(parseDevicesList(cgroup.text), access);
        for (const [key, bits] of added) {
          expect(bits & exactBits(parseDevicesList(text), key)).toBe(0);
          cgroup.allow(key, bits);
        }
        const now = parseDevicesList(cgroup.text);
        for (const [key, bits] of access) expect(allows(now, key, bits)).toBe(true);
        expect(missing(without(now, added), access)).toEqual(added);
        for (const [key, bits] of added) cgroup.deny(key, bits);
        expect(cgroup.lines).toEqual(before);
      }),
    );
  });

  it('adds to other devices nothing', () => {
    fc.assert(
      fc.property(list, rules, rule, (text, wanted, other) => {
        const cgroup = new FakeCgroup(text);
        const key = ruleDevice(other);
        fc.pre(!uniteRules(wanted).has(key));
        const before = allows(parseDevicesList(text), key, accessBits(other.access));
        for (const [device, bits] of missing(parseDevicesList(text), uniteRules(wanted))) cgroup.allow(device, bits);
        expect(allows(parseDevicesList(cgroup.text), key, accessBits(other.access))).toBe(before);
      }),
    );
  });

  it('is nothing where all is allowed', () => {
    expect(missing(parseDevicesList('a *:* rwm\n'), new Map([['b 1:2', 6]])).size).toBe(0);
  });
});

describe('the record', () => {
  it('says what was written to it, and nothing else', () => {
    fc.assert(
      fc.property(rules, (of) => {
        const access = uniteRules(of);
        expect(parseRecord(formatRecord(access))).toEqual(access);
      }),
    );
    expect(parseRecord('nonsense\nb 1:* rw\nb 1:2 m\nc 1:2 r').size).toBe(1);
  });
});

describe('sets of rules', () => {
  it('unite to what any of them gives, and come back as rules', () => {
    expect(
      rulesOf(
        uniteRules([
          { type: 'char', major: 1, minor: 2, access: 'w' },
          { type: 'block', major: 1, minor: 2, access: 'r' },
          { type: 'char', major: 1, minor: 2, access: 'r' },
        ]),
      ),
    ).toEqual([
      { type: 'block', major: 1, minor: 2, access: 'r' },
      { type: 'char', major: 1, minor: 2, access: 'rw' },
    ]);
  });

  it('are split by another set into what both give and the rest', () => {
    fc.assert(
      fc.property(rules, rules, (a, b) => {
        const [first, second] = [uniteRules(a), uniteRules(b)];
        const both = intersect(first, second);
        const rest = subtract(first, second);
        expect(sameAccess(uniteRules([...rulesOf(both), ...rulesOf(rest)]), first)).toBe(true);
        for (const [key, bits] of rest) expect(bits & (second.get(key) ?? 0)).toBe(0);
        expect(sameAccess(intersect(second, first), both)).toBe(true);
      }),
    );
  });
});
