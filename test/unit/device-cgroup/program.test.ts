import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assemble, exit, jumpIfEqual, label, set, set64 } from '../../../src/linux/device-cgroup/assembler.ts';
import { DEVICE_TYPE, grantProgram, KEY_SIZE } from '../../../src/linux/device-cgroup/program.ts';
import { ruleEntries } from '../../../src/linux/device-cgroup/rules-map.ts';
import { runDeviceProgram } from './fake-bpf.ts';

describe('the assembler', () => {
  it('encodes as the instruction set says, and jumps to labels', () => {
    const program = assemble([jumpIfEqual(0, 7, 'end'), set(3, -2), ...set64(2, 0x1_8000_0002n), label('end'), exit()]);
    expect(program.toString('hex')).toBe(
      ['1500030007000000', 'b7030000feffffff', '1802000002000080', '0000000001000000', '9500000000000000'].join(''),
    );
  });

  it('refuses to jump to nowhere, or back', () => {
    expect(() => assemble([jumpIfEqual(0, 7, 'end'), exit()])).toThrow(/no label end/);
    expect(() => assemble([label('top'), set(0, 1), jumpIfEqual(0, 7, 'top'), exit()])).toThrow(/no label top/);
  });
});

describe('the program that grants', () => {
  const id = fc.constantFrom(1n, 7n, 0x1_0000_0007n, 2n ** 63n);
  const device = {
    type: fc.constantFrom('char', 'block'),
    major: fc.constantFrom(0, 7, 4095),
    minor: fc.constantFrom(0, 9, 1_048_575),
  };
  const granted = fc.array(fc.record({ id, bits: fc.constantFrom(2, 4, 6), ...device }), { maxLength: 6 });
  const opening = fc.record({
    ids: fc.array(id, { minLength: 1, maxLength: 4 }),
    access: fc.integer({ min: 0, max: 7 }),
    ...device,
  });

  it('allows what was denied exactly where a rule for that cgroup gives it all, and denies nothing', () => {
    const program = (level: number) => grantProgram(level, 42);
    fc.assert(
      fc.property(granted, opening, fc.integer({ min: 0, max: 3 }), fc.boolean(), (rules, asked, level, denied) => {
        const map = new Map<string, number>();
        for (const { id, bits, ...rule } of rules) {
          const key = `${rule.type === 'char' ? 'c' : 'b'} ${rule.major}:${rule.minor}`;
          for (const [bytes, value] of ruleEntries(id, new Map([[key, bits]]))) {
            map.set(bytes.toString('hex'), value.readUInt32LE(0));
          }
        }
        const last = rules.findLast(
          (rule) =>
            rule.id === asked.ids[level] &&
            rule.type === asked.type &&
            rule.major === asked.major &&
            rule.minor === asked.minor,
        );
        const isGranted = last !== undefined && (asked.access & ~last.bits) === 0;
        const question = { ...asked, type: DEVICE_TYPE[asked.type as 'char' | 'block'], cgroups: asked.ids };
        expect(runDeviceProgram(program(level), map, KEY_SIZE, question, denied)).toBe(!denied || isGranted);
      }),
      { numRuns: 2000 },
    );
  });
});
