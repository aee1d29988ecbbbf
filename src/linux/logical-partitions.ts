const SIGNATURE = 0xaa55;
const ENTRIES = 446;
const ENTRY_BYTES = 16;
/** Of an extended partition (`is_extended_partition` in the kernel's block/partitions/msdos.c). */
const EXTENDED: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85]);
/** The kernel's own limit for such a chain is 100. */
const MAX_LINKS = 100;

interface Entry {
  readonly type: number;
  /** In logical sectors. */
  readonly start: number;
  readonly sectors: number;
}

/**
 * The types of the logical partitions of an MBR, from number 5 on, as `0x83`. Each has a table of its own, which leads to the next. The disk is
 * hostile: the chain may be broken, or lead round for ever.
 * @param start the first bytes of the disk
 * @param readSector of the disk, by its number
 */
export async function logicalTypes(start: Buffer, readSector: (number: number) => Promise<Buffer>): Promise<string[]> {
  const extended = entriesOf(start).find(({ type }) => EXTENDED.has(type));
  const types: string[] = [];
  let at = extended?.start;
  for (let link = 0; extended && at !== undefined && link < MAX_LINKS; link++) {
    const entries = entriesOf(await readSector(at));
    const used = entries.filter(({ sectors }) => sectors > 0);
    types.push(...used.filter(({ type }) => !EXTENDED.has(type)).map(({ type }) => `0x${type.toString(16)}`));
    const next = used.find(({ type }) => EXTENDED.has(type));
    at = next && extended.start + next.start;
  }
  return types;
}

function entriesOf(sector: Buffer): Entry[] {
  if (sector.length < 512 || sector.readUInt16LE(510) !== SIGNATURE) return [];
  return [0, 1, 2, 3].map((i) => {
    const at = ENTRIES + i * ENTRY_BYTES;
    return {
      type: sector.readUInt8(at + 4),
      start: sector.readUInt32LE(at + 8),
      sectors: sector.readUInt32LE(at + 12),
    };
  });
}
