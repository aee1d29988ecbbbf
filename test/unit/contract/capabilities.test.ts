import { describe, expect, it } from 'vitest';
import { CAPABILITIES, isCapability, normalizeCapability } from '../../../src/contract/capabilities.ts';

describe('capabilities', () => {
  it('are those of include/uapi/linux/capability.h, CAP_CHOWN (0) to CAP_CHECKPOINT_RESTORE (40)', () => {
    expect(CAPABILITIES).toHaveLength(41);
    expect(new Set(CAPABILITIES).size).toBe(41);
    const numbers = { CHOWN: 0, NET_ADMIN: 12, SYS_ADMIN: 21, MKNOD: 27, SETFCAP: 31, SYSLOG: 34, BPF: 39 };
    for (const [name, number] of Object.entries(numbers)) expect(CAPABILITIES[number]).toBe(name);
  });

  it.each([
    ['NET_ADMIN', 'NET_ADMIN'],
    ['CAP_NET_ADMIN', 'NET_ADMIN'],
    [' cap_net_admin ', 'NET_ADMIN'],
    ['all', 'ALL'],
    ['CAP_', ''],
    ['CAP_CAP_BPF', 'CAP_BPF'],
  ])('%j is %s', (name, normal) => expect(normalizeCapability(name)).toBe(normal));

  it('include ALL, and nothing that the kernel does not know', () => {
    expect(['ALL', ...CAPABILITIES].every(isCapability)).toBe(true);
    for (const name of ['', 'CAP_BPF', 'bpf', 'NET', '__proto__']) expect(isCapability(name)).toBe(false);
  });
});
