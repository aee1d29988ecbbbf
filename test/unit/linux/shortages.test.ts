import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { isShortage } from '../../../src/linux/errors.ts';
import { holdersOfMounts } from '../../../src/linux/holders.ts';
import { readMountinfo } from '../../../src/linux/mountinfo.ts';
import { findMounts } from '../../../src/linux/namespaces.ts';
import { isLeftToPrograms } from '../../../src/linux/usb.ts';
import { readAnswer } from '../../../src/node/block/exclusive-opener.ts';
import { makeLimitedCgroup } from '../../../src/node/lxcfs/cgroups.ts';
import { threadsOf } from '../../../src/node/lxcfs/stuck-threads.ts';
import { nodeTold } from '../../../src/node/lxcfs/truth.ts';

/** What fails, and how. As the kernel says it to a process that is out of descriptors, or on a node that is out of memory. */
const failing = vi.hoisted(() => ({ path: /^$/, code: '' }));
vi.mock('node:fs', async (load) => {
  const fs = await load<typeof import('node:fs')>();
  const guarded = <C extends 'openSync' | 'readdirSync' | 'readFileSync' | 'readlinkSync' | 'writeFileSync'>(call: C) =>
    ((path: unknown, ...rest: never[]) => {
      if (!failing.path.test(String(path))) return (fs[call] as (...args: unknown[]) => unknown)(path, ...rest);
      const { code } = failing;
      throw Object.assign(new Error(`${code}: ${call} '${path}'`), { code });
    }) as (typeof fs)[C];
  return {
    ...fs,
    openSync: guarded('openSync'),
    readdirSync: guarded('readdirSync'),
    readFileSync: guarded('readFileSync'),
    readlinkSync: guarded('readlinkSync'),
    writeFileSync: guarded('writeFileSync'),
  };
});

const fail = (path: RegExp, code: string): void => void Object.assign(failing, { path, code });
afterEach(() => fail(/^$/, ''));

const directory = mkdtempSync(join(tmpdir(), 'hotmount-shortages-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe.runIf(process.platform === 'linux')('for want of descriptors or memory', () => {
  const root = () => readMountinfo().find(({ mountPoint }) => mountPoint === '/');
  const holders = () => holdersOfMounts(new Set([root()?.id ?? 0]), '4095:0', [process.pid]);

  it('no process is taken for one that holds nothing', async () => {
    expect(await holders()).toMatchObject([{ pid: process.pid }]);
    fail(/\/fdinfo$/, 'EMFILE');
    await expect(holders()).rejects.toThrow('EMFILE');
    fail(/\/fdinfo\/\d+$/, 'ENOMEM');
    await expect(holders()).rejects.toThrow('ENOMEM');
  });

  it('no working directory is taken for one that is elsewhere', async () => {
    const elsewhere = () => holdersOfMounts(new Set([-1]), '4095:0', [process.pid]);
    expect(await elsewhere()).toEqual([]);
    fail(/\/cwd$/, 'EMFILE');
    await expect(elsewhere()).rejects.toThrow('EMFILE');
  });

  it('no process whose first thread has ended is taken for ended', () => {
    const { device = '' } = root() ?? {};
    expect(findMounts([device]).namespaces).not.toEqual([]);
    fail(/\/root$/, 'ENOMEM');
    expect(() => findMounts([device])).toThrow('ENOMEM');
  });

  it('no USB device is taken for one without a driver', () => {
    const usb = join(directory, '1-1');
    mkdirSync(join(usb, '1-1:1.0'), { recursive: true });
    writeFileSync(join(usb, '1-1:1.0/bInterfaceClass'), '08\n');
    symlinkSync('../../../bus/usb/drivers/usb-storage', join(usb, '1-1:1.0/driver'));
    expect(isLeftToPrograms(usb)).toBe(false);
    fail(/driver$/, 'ENOMEM');
    expect(() => isLeftToPrograms(usb)).toThrow('ENOMEM');
    fail(/driver$/, 'ENOENT');
    expect(isLeftToPrograms(usb)).toBe(true);
  });

  it('no disk is taken for free', () => {
    expect([0, 16, 123].map((code) => readAnswer(code, false))).toEqual(['free', 'held', 'free']);
    expect(readAnswer(undefined, true)).toBe('hangs');
    for (const errno of [4, 11, 12, 23, 24]) expect(() => readAnswer(errno, false)).toThrow(/ended by E/);
    // By the OOM killer.
    expect(() => readAnswer(undefined, false)).toThrow('a signal');
  });

  it('no view of lxcfs is compared with nothing', () => {
    expect(nodeTold().cpuOnline).toBeGreaterThan(0);
    fail(/\/online$/, 'EMFILE');
    expect(() => nodeTold()).toThrow('EMFILE');
    fail(/\/proc\/swaps$/, 'ENOENT');
    expect(nodeTold().swaps).toEqual([]);
  });

  it('no cgroup is taken for all that the node has', () => {
    const memory = join(directory, 'cgroup');
    mkdirSync(join(memory, 'hotmount-probe-1'), { recursive: true });
    for (const file of ['memory.max', 'cpu.max']) writeFileSync(join(memory, 'hotmount-probe-1', file), 'max\n');
    const make = () => makeLimitedCgroup({ version: 'v2', memory }, '1', 1 << 26);
    expect(make()).toMatchObject({ isWhole: true, limitsCpu: true });
    fail(/cpu\.max$/, 'EBUSY');
    expect(make()).toMatchObject({ isWhole: false });
    fail(/cpu\.max$/, 'ENOMEM');
    expect(make).toThrow('ENOMEM');
  });

  it('no thread of lxcfs is taken for ended', () => {
    expect(threadsOf(process.pid)).not.toEqual([]);
    fail(/\/wchan$/, 'EMFILE');
    expect(() => threadsOf(process.pid)).toThrow('EMFILE');
  });
});

it('a shortage is told from an answer, by name and by number', () => {
  const errors = ['EMFILE', 'ENOMEM', 'ENOENT', 'EACCES'].map((code) => Object.assign(new Error(code), { code }));
  expect(errors.map(isShortage)).toEqual([true, true, false, false]);
  expect([24, 12, 0, 2].map(isShortage)).toEqual([true, true, false, false]);
});
