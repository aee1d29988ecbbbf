/** Of the start of a disk: all that is read here. Enough for 128 GPT entries, on disks with sectors of 4096 bytes for 72. */
export const TABLE_BYTES = 17 << 10;

const MBR_SIGNATURE = 0xaa55;
const MBR_ENTRIES = 446;
const MBR_ENTRY_BYTES = 16;
/** A GPT's own entry in the MBR before it. */
const PROTECTIVE = 0xee;
const GPT_SIGNATURE = 'EFI PART';

/**
 * The type of a partition, as in blkid's `PART_ENTRY_TYPE`: a GUID in lower case (UEFI 2.10, 5.3.3), or `0xc` of an MBR. Undefined where
 * the table does not tell, or is of another kind; also for logical partitions (`logicalTypes`). The disk is hostile: nothing of it is trusted.
 * @param start the first bytes of the disk
 * @param number of the partition, from 1
 * @param sectorBytes of a logical sector
 */
export function partitionType(start: Buffer, number: number, sectorBytes: number): string | undefined {
  if (start.length < 512 || start.readUInt16LE(510) !== MBR_SIGNATURE) return undefined;
  const primary = [0, 1, 2, 3].map((i) => start.readUInt8(MBR_ENTRIES + i * MBR_ENTRY_BYTES + 4));
  if (!primary.includes(PROTECTIVE)) {
    const type = primary[number - 1];
    return type ? `0x${type.toString(16)}` : undefined;
  }
  if (start.toString('latin1', sectorBytes, sectorBytes + 8) !== GPT_SIGNATURE) return undefined;
  const entries = Number(start.readBigUInt64LE(sectorBytes + 72)) * sectorBytes;
  const entryBytes = start.readUInt32LE(sectorBytes + 84);
  const at = entries + (number - 1) * entryBytes;
  if (entryBytes < 128 || !Number.isSafeInteger(at) || at < 0 || at + 16 > start.length) return undefined;
  return guid(start.subarray(at, at + 16));
}

/** The first three parts are little-endian. */
function guid(bytes: Buffer): string | undefined {
  if (bytes.every((byte) => byte === 0)) return undefined;
  const hex = (...at: number[]): string => at.map((i) => (bytes[i] as number).toString(16).padStart(2, '0')).join('');
  return [hex(3, 2, 1, 0), hex(5, 4), hex(7, 6), hex(8, 9), hex(10, 11, 12, 13, 14, 15)].join('-');
}

/**
 * Partitions that are for firmware, boot loaders and rescue, and not for files of people; what they are called.
 * https://en.wikipedia.org/wiki/GUID_Partition_Table#Partition_type_GUIDs has who defines them.
 */
export const SYSTEM_PARTITIONS: Readonly<Record<string, string>> = {
  'c12a7328-f81f-11d2-ba4b-00a0c93ec93b': 'an EFI system partition',
  '0xef': 'an EFI system partition',
  'e3c9e316-0b5c-4db8-817d-f92df00215ae': 'reserved by Windows',
  'de94bba4-06d1-4d40-a16a-bfd50179d6ac': 'a recovery partition of Windows',
  '0x27': 'a recovery partition of Windows',
  '0x12': 'a diagnostics partition of the manufacturer',
  '21686148-6449-6e6f-744e-656564454649': 'for a boot loader',
  'bc13c2ff-59e6-4262-a352-b275fd6f7172': 'a boot partition',
  '426f6f74-0000-11aa-aa11-00306543ecac': 'a recovery partition of macOS',
};
