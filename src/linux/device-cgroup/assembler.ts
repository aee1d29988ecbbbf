/**
 * As much of a BPF assembler as a small program takes (Documentation/bpf/standardization/instruction-set.rst). A program is a list of
 * instructions and labels; jumps name a label, and only forward, as the kernel would have it.
 */

/** A register: r0 has results, r1–r5 the arguments of a call, r6–r9 survive one, r10 is the end of the stack. */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;

interface Instruction {
  readonly code: number;
  readonly dst?: Register;
  readonly src?: number;
  readonly offset?: number;
  readonly immediate?: number;
  /** Goes where this label is. */
  readonly jump?: string;
}

export type Line = Instruction | { readonly label: string };

/** Width of a memory access, in bits. */
type Width = 32 | 64;
const WIDTH = { 32: 0x00, 64: 0x18 } as const;

export const label = (name: string): Line => ({ label: name });

/** dst = value (32 bits, sign-extended) */
export const set = (dst: Register, value: number): Line => ({ code: 0xb7, dst, immediate: value });
/** dst = src */
export const move = (dst: Register, src: Register): Line => ({ code: 0xbf, dst, src });
/** dst += value */
export const add = (dst: Register, value: number): Line => ({ code: 0x07, dst, immediate: value });
/** dst &= value, in 32 bits */
export const and = (dst: Register, value: number): Line => ({ code: 0x54, dst, immediate: value });
/** dst &= src */
export const andRegister = (dst: Register, src: Register): Line => ({ code: 0x5f, dst, src });
/** dst ^= value */
export const xor = (dst: Register, value: number): Line => ({ code: 0xa7, dst, immediate: value });
/** dst >>= bits, unsigned, in 32 bits */
export const shiftRight = (dst: Register, bits: number): Line => ({ code: 0x74, dst, immediate: bits });
/** dst = *(src + offset) */
export const load = (width: Width, dst: Register, src: Register, offset: number): Line => ({
  code: 0x61 | WIDTH[width],
  dst,
  src,
  offset,
});
/** *(dst + offset) = src */
export const store = (width: Width, dst: Register, offset: number, src: Register): Line => ({
  code: 0x63 | WIDTH[width],
  dst,
  src,
  offset,
});
/** dst = a 64-bit constant */
export const set64 = (dst: Register, value: bigint): Line[] => wide(dst, 0, value);
/** dst = the map behind a descriptor (BPF_PSEUDO_MAP_FD) */
export const loadMap = (dst: Register, fd: number): Line[] => wide(dst, 1, BigInt(fd));
/** r0 = helper(r1, …, r5) */
export const call = (helper: number): Line => ({ code: 0x85, immediate: helper });
export const jumpIfEqual = (dst: Register, value: number, target: string): Line => ({
  code: 0x15,
  dst,
  immediate: value,
  jump: target,
});
export const jumpIfNotEqual = (dst: Register, value: number, target: string): Line => ({
  code: 0x55,
  dst,
  immediate: value,
  jump: target,
});
export const jumpIfSame = (dst: Register, src: Register, target: string): Line => ({
  code: 0x1d,
  dst,
  src,
  jump: target,
});
export const exit = (): Line => ({ code: 0x95 });

/** Takes two places of eight bytes each: the one instruction that does. */
const wide = (dst: Register, src: number, value: bigint): Line[] => [
  { code: 0x18, dst, src, immediate: Number(BigInt.asIntN(32, value)) },
  { code: 0, immediate: Number(BigInt.asIntN(32, value >> 32n)) },
];

/**
 * The program's bytes, eight an instruction.
 * @throws Error on a jump to a label that does not follow
 */
export function assemble(lines: readonly Line[]): Buffer {
  const labels = new Map<string, number>();
  const instructions: Instruction[] = [];
  for (const line of lines) {
    if ('label' in line) labels.set(line.label, instructions.length);
    else instructions.push(line);
  }
  const program = Buffer.alloc(instructions.length * 8);
  for (const [i, { code, dst = 0, src = 0, offset = 0, immediate = 0, jump }] of instructions.entries()) {
    const target = jump === undefined ? i + 1 + offset : (labels.get(jump) ?? -1);
    if (jump !== undefined && target <= i) throw new Error(`no label ${jump} follows instruction ${i}`);
    program.writeUInt8(code, i * 8);
    program.writeUInt8((src << 4) | dst, i * 8 + 1);
    program.writeInt16LE(jump === undefined ? offset : target - i - 1, i * 8 + 2);
    program.writeInt32LE(immediate, i * 8 + 4);
  }
  return program;
}
