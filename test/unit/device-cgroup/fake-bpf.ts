/** What an opener asks: a device, and an access in bits. */
export interface Opening {
  /** The ids of the cgroups it is in, by level. */
  readonly cgroups: readonly bigint[];
  readonly type: number;
  readonly access: number;
  readonly major: number;
  readonly minor: number;
}

const CONTEXT = 0x1000n;
const STACK_END = 0x2000n;
const VALUE = 0x3000n;
const EPERM = -1n;

/**
 * Runs a device program as the kernel would (Documentation/bpf/standardization/instruction-set.rst), as far as ours go.
 * @param rules by the key's bytes, in hex
 * @param denied what the programs before it said
 * @returns whether the opener is allowed
 */
export function runDeviceProgram(
  program: Buffer,
  rules: ReadonlyMap<string, number>,
  keySize: number,
  opening: Opening,
  denied: boolean,
): boolean {
  const registers = new Array<bigint>(11).fill(0n);
  const get = (i: number): bigint => registers[i] as bigint;
  const put = (i: number, value: bigint): void => {
    registers[i] = BigInt.asUintN(64, value);
  };
  const stack = Buffer.alloc(512, 0xee);
  const context = Buffer.alloc(12);
  context.writeUInt16LE(opening.type, 0);
  context.writeUInt16LE(opening.access, 2);
  context.writeUInt32LE(opening.major, 4);
  context.writeUInt32LE(opening.minor, 8);
  const value = Buffer.alloc(4);
  const memory = (address: bigint): [Buffer, number] => {
    if (address >= VALUE) return [value, Number(address - VALUE)];
    if (address >= CONTEXT && address < CONTEXT + 12n) return [context, Number(address - CONTEXT)];
    return [stack, 512 - Number(STACK_END - address)];
  };
  let answer = denied ? EPERM : 0n;
  put(1, CONTEXT);
  put(10, STACK_END);
  for (let i = 0; ; i++) {
    const [code, registersByte] = [program.readUInt8(i * 8), program.readUInt8(i * 8 + 1)];
    const [dst, src] = [registersByte & 15, registersByte >> 4];
    const offset = program.readInt16LE(i * 8 + 2);
    const immediate = BigInt(program.readInt32LE(i * 8 + 4));
    const jumpIf = (condition: boolean): void => {
      if (condition) i += offset;
    };
    const [bytes, at] = memory(BigInt.asUintN(64, get(src) + BigInt(offset)));
    const [target, to] = memory(BigInt.asUintN(64, get(dst) + BigInt(offset)));
    switch (code) {
      case 0xb7:
        put(dst, immediate);
        break;
      case 0xbf:
        put(dst, get(src));
        break;
      case 0x07:
        put(dst, get(dst) + immediate);
        break;
      case 0x54:
        put(dst, BigInt.asUintN(32, get(dst) & immediate));
        break;
      case 0x5f:
        put(dst, get(dst) & get(src));
        break;
      case 0xa7:
        put(dst, get(dst) ^ immediate);
        break;
      case 0x74:
        put(dst, BigInt.asUintN(32, get(dst)) >> immediate);
        break;
      case 0x61:
        put(dst, BigInt(bytes.readUInt32LE(at)));
        break;
      case 0x63:
        target.writeUInt32LE(Number(BigInt.asUintN(32, get(src))), to);
        break;
      case 0x7b:
        target.writeBigUInt64LE(get(src), to);
        break;
      case 0x18:
        put(dst, immediate);
        i++;
        break;
      case 0x15:
        jumpIf(get(dst) === BigInt.asUintN(64, immediate));
        break;
      case 0x55:
        jumpIf(get(dst) !== BigInt.asUintN(64, immediate));
        break;
      case 0x85: {
        if (immediate === 186n) put(0, answer);
        else if (immediate === 187n) {
          answer = BigInt.asIntN(32, get(1));
          put(0, 0n);
        } else if (immediate === 123n) put(0, opening.cgroups[Number(get(1))] ?? 0n);
        else if (immediate === 1n) {
          const [from, start] = memory(get(2));
          const found = rules.get(from.toString('hex', start, start + keySize));
          value.writeUInt32LE(found ?? 0);
          put(0, found === undefined ? 0n : VALUE);
        } else throw new Error(`helper ${immediate}`);
        // They are the callee's.
        for (let register = 1; register <= 5; register++) put(register, 0xdeadn);
        break;
      }
      case 0x95:
        return get(0) === 1n && answer === 0n;
      default:
        throw new Error(`instruction ${i} has code 0x${code.toString(16)}`);
    }
  }
}
