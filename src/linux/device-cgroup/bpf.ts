import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';
import { SYS } from '../constants.ts';
import { SystemCallError } from '../errors.ts';
import { errno, libc } from '../libc.ts';

/**
 * bpf(2), the little of it that device programs take. It is one system call with a command and a structure for each (linux/bpf.h); all
 * numbers in them are written as these two architectures have them, the lowest byte first.
 */
const COMMAND = {
  mapCreate: 0,
  progLoad: 5,
  progAttach: 8,
  progDetach: 9,
  progTestRun: 10,
  progGetFdById: 13,
  mapGetFdById: 14,
  objGetInfoByFd: 15,
  progQuery: 16,
  mapFreeze: 22,
  mapLookupBatch: 24,
  mapUpdateBatch: 26,
} as const;

const PROGRAM_TYPE = { cgroupDevice: 15, rawTracepoint: 17 } as const;
/** BPF_CGROUP_DEVICE, the place in a cgroup where device programs are attached. */
const CGROUP_DEVICE = 6;
const MAP_TYPE_HASH = 1;
const RDONLY_PROG = 1 << 7;
const ALLOW_OVERRIDE = 1 << 0;
const ALLOW_MULTI = 1 << 1;
const REPLACE = 1 << 2;
const { ENOSPC } = constants.errno;

/** The whole union: Linux 6.17–7.1 refuse to query with less. What is beyond an older kernel's size must be zero, and is. */
const ATTRIBUTES_SIZE = 168;

type Field = readonly [offset: number, value: number | string | Buffer];

/** The buffers that a structure points to, for as long as it is there itself: nothing may collect them during the call. */
const pointedTo = new WeakMap<Buffer, readonly Field[]>();

/** A structure with these fields: a number takes 32 bits, and for a buffer there is a pointer to it. */
function attributes(...fields: Field[]): Buffer {
  return structure(ATTRIBUTES_SIZE, fields);
}

function structure(size: number, fields: readonly Field[]): Buffer {
  const bytes = Buffer.alloc(size);
  pointedTo.set(bytes, fields);
  for (const [offset, value] of fields) {
    if (typeof value === 'number') bytes.writeUInt32LE(value, offset);
    else if (typeof value === 'string') bytes.write(value, offset);
    else bytes.writeBigUInt64LE(BigInt(koffi.address(value)), offset);
  }
  return bytes;
}

function bpf(command: keyof typeof COMMAND, bytes: Buffer): number {
  const result = Number(libc.syscall(SYS.bpf, 'int', COMMAND[command], 'void *', bytes, 'uint', bytes.length));
  if (result < 0) throw new SystemCallError(`bpf(${command})`, errno());
  return result;
}

const call = (command: keyof typeof COMMAND, ...fields: Field[]): number => bpf(command, attributes(...fields));

/** The verifier's last words, and what it was about. */
export class ProgramRefused extends Error {
  override readonly name = 'ProgramRefused';
  readonly code: string;

  constructor(cause: SystemCallError, verdict: string) {
    super(verdict === '' ? cause.message : verdict, { cause });
    this.code = cause.code;
  }
}

/** @returns a descriptor @throws ProgramRefused */
function loadProgram(type: keyof typeof PROGRAM_TYPE, name: string, program: Buffer): number {
  const fields = (log: Buffer): Field[] => [
    [0, PROGRAM_TYPE[type]],
    [4, program.length / 8],
    [8, program],
    [16, Buffer.from('Apache-2.0\0')],
    ...((log.length > 0
      ? [
          [24, 1],
          [28, log.length],
          [32, log],
        ]
      : []) as Field[]),
    [48, name],
    // Without it the verifier takes the program for one that may not set the answer.
    [68, type === 'cgroupDevice' ? CGROUP_DEVICE : 0],
  ];
  try {
    return call('progLoad', ...fields(Buffer.alloc(0)));
  } catch {
    // Writing the log takes longer than all the rest: it is asked for only where there is something to tell.
    const log = Buffer.alloc(1 << 16);
    try {
      return call('progLoad', ...fields(log));
    } catch (error) {
      const lines = log.toString('latin1', 0, log.indexOf(0)).trim().split('\n');
      const verdict = lines.findLast((line) => line !== '' && !/^(processed|verification time|stack depth)/.test(line));
      throw new ProgramRefused(error as SystemCallError, verdict ?? '');
    }
  }
}

/** @returns a descriptor @throws ProgramRefused */
export const loadDeviceProgram = (name: string, program: Buffer): number => loadProgram('cgroupDevice', name, program);

/** Runs a program once, as this thread, and gives what it returns. @throws ProgramRefused, SystemCallError */
export function runProgram(name: string, program: Buffer): number {
  const fd = loadProgram('rawTracepoint', name, program);
  try {
    const test = attributes([0, fd]);
    bpf('progTestRun', test);
    return test.readUInt32LE(4);
  } finally {
    closeSync(fd);
  }
}

export interface AttachedProgram {
  readonly id: number;
  readonly name: string;
  /** The kernel's digest of the instructions. */
  readonly tag: string;
  /** The ids of the maps it uses. */
  readonly maps: readonly number[];
}

const MAPS_ASKED = 4;

/** @param fd of a program */
export function programInfo(fd: number): AttachedProgram {
  const maps = Buffer.alloc(MAPS_ASKED * 4);
  const info = structure(256, [
    [52, MAPS_ASKED],
    [56, maps],
  ]);
  call('objGetInfoByFd', [0, fd], [4, info.length], [8, info]);
  const count = Math.min(info.readUInt32LE(52), MAPS_ASKED);
  return {
    id: info.readUInt32LE(4),
    name: cString(info.subarray(64, 80)),
    tag: info.toString('hex', 8, 16),
    maps: Array.from({ length: count }, (_, i) => maps.readUInt32LE(i * 4)),
  };
}

/** The ids of the device programs attached to a cgroup itself, in the order in which they are asked. @throws SystemCallError */
export function attachedProgramIds(cgroup: number): number[] {
  for (let room = 64; ; room *= 4) {
    const ids = Buffer.alloc(room * 4);
    const query = attributes([0, cgroup], [4, CGROUP_DEVICE], [16, ids], [24, room]);
    try {
      bpf('progQuery', query);
      return Array.from({ length: query.readUInt32LE(24) }, (_, i) => ids.readUInt32LE(i * 4));
    } catch (error) {
      if ((error as SystemCallError).errno !== ENOSPC) throw error;
    }
  }
}

/** How programs are attached to a cgroup, where there are any: that says whether others may be. */
export type AttachMode = 'alone' | 'override' | 'multi';

/** @returns undefined where there is none @throws SystemCallError */
export function attachMode(cgroup: number): AttachMode | undefined {
  const query = attributes([0, cgroup], [4, CGROUP_DEVICE]);
  bpf('progQuery', query);
  if (query.readUInt32LE(24) === 0) return undefined;
  const flags = query.readUInt32LE(12);
  if ((flags & ALLOW_MULTI) !== 0) return 'multi';
  return (flags & ALLOW_OVERRIDE) === 0 ? 'alone' : 'override';
}

/** @returns a descriptor @throws SystemCallError ENOENT where the program has gone */
export const openProgram = (id: number): number => call('progGetFdById', [0, id]);

/**
 * Attaches a program beside whatever others are attached.
 * @throws SystemCallError EPERM where another was attached so that it stays alone
 */
export const attachProgram = (cgroup: number, program: number): void => attach(cgroup, program, ALLOW_MULTI);

/**
 * Attaches a program in place of another, with no moment between the two.
 * @returns false where that one is not attached there (any more) @throws SystemCallError
 */
export function replaceProgram(cgroup: number, program: number, old: number): boolean {
  try {
    attach(cgroup, program, ALLOW_MULTI | REPLACE, old);
    return true;
  } catch (error) {
    if ((error as SystemCallError).code === 'ENOENT') return false;
    throw error;
  }
}

function attach(cgroup: number, program: number, flags: number, old = 0): void {
  call('progAttach', [0, cgroup], [4, program], [8, CGROUP_DEVICE], [12, flags], [16, old]);
}

/** @throws SystemCallError */
export const detachProgram = (cgroup: number, program: number): void =>
  void call('progDetach', [0, cgroup], [4, program], [8, CGROUP_DEVICE]);

export type MapEntry = readonly [key: Buffer, value: Buffer];

/**
 * A hash map with these entries that nobody can change any more.
 * @param entries with keys and values of one length each
 * @returns a descriptor
 * @throws SystemCallError
 */
export function makeFrozenMap(name: string, keySize: number, valueSize: number, entries: readonly MapEntry[]): number {
  const map = call(
    'mapCreate',
    [0, MAP_TYPE_HASH],
    [4, keySize],
    [8, valueSize],
    [12, Math.max(entries.length, 1)],
    [16, RDONLY_PROG],
    [28, name],
  );
  try {
    if (entries.length > 0) {
      const keys = Buffer.concat(entries.map(([key]) => key));
      const values = Buffer.concat(entries.map(([, value]) => value));
      call('mapUpdateBatch', [16, keys], [24, values], [32, entries.length], [36, map]);
    }
    call('mapFreeze', [0, map]);
    return map;
  } catch (error) {
    closeSync(map);
    throw error;
  }
}

/** The entries of a hash map, undefined where its keys or values have other lengths. @throws SystemCallError */
export function readMap(id: number, keySize: number, valueSize: number): MapEntry[] | undefined {
  const fd = call('mapGetFdById', [0, id]);
  try {
    const info = Buffer.alloc(88);
    call('objGetInfoByFd', [0, fd], [4, info.length], [8, info]);
    const [type, , key, value, room] = Array.from({ length: 5 }, (_, i) => info.readUInt32LE(i * 4));
    if (type !== MAP_TYPE_HASH || key !== keySize || value !== valueSize || room === undefined) return undefined;
    const keys = Buffer.alloc(room * keySize);
    const values = Buffer.alloc(room * valueSize);
    const bytes = attributes([8, Buffer.alloc(8)], [16, keys], [24, values], [32, room], [36, fd]);
    try {
      bpf('mapLookupBatch', bytes);
    } catch (error) {
      // There are no more: what there were, has been written.
      if ((error as SystemCallError).code !== 'ENOENT') throw error;
    }
    return Array.from({ length: bytes.readUInt32LE(32) }, (_, i) => [
      keys.subarray(i * keySize, (i + 1) * keySize),
      values.subarray(i * valueSize, (i + 1) * valueSize),
    ]);
  } finally {
    closeSync(fd);
  }
}

const cString = (bytes: Buffer): string => bytes.toString('latin1').replace(/\0.*$/s, '');
