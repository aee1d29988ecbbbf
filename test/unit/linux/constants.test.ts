import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { constantsOf } from '../../../src/linux/constants.ts';

test('an event of epoll is packed on x86-64 alone, and bpf has a number of its own everywhere', () => {
  expect(constantsOf('x64')).toMatchObject({ SYS_bpf: 321, epollEvent: { bytes: 12, data: 4 } });
  expect(constantsOf('arm64')).toMatchObject({ SYS_bpf: 280, epollEvent: { bytes: 16, data: 8 } });
});

test.each(['riscv64', 'ppc64', 's390x', 'ia32'])('%s is refused by name', (architecture) => {
  expect(() => constantsOf(architecture)).toThrow(
    `hotmount's node programs run on x64 and arm64; the system calls of ${architecture} are not known`,
  );
});

const SOURCES = globSync(['src/**/*.ts', 'bench/**/*.ts']).filter((path) => !/constants(\.test)?\.ts$/.test(path));

test.each([
  ['a flag of open(2)', /\bO_[A-Z]+ = 0?[ox\d]|\b0o[1-9]\d?0{4,}\b/],
  ['the number of a system call', /\bSYS_?[A-Z]* = \{|\bSYS_\w+ = \d/],
  ['what differs by architecture', /process\.arch\b/],
])('nothing but constants.ts writes %s as a number', (_, pattern) => {
  const offenders = SOURCES.filter((path) => pattern.test(readFileSync(path, 'utf8')));
  expect(offenders).toEqual([]);
});
