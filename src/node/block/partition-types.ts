import { PROBE_DEADLINE } from '../../linux/blkid.ts';
import { type BlockDevice, readBlockDevice } from '../../linux/block.ts';
import type { ChildResult } from '../../linux/child.ts';
import { errorCode } from '../../linux/errors.ts';
import { findProgram } from '../../linux/find-program.ts';
import { logicalTypes } from '../../linux/logical-partitions.ts';
import { partitionType, TABLE_BYTES } from '../../linux/partition-table.ts';
import { attribute } from '../../linux/sysfs.ts';
import { ProbeRoom } from './probe-room.ts';

/** The partitions of a disk come all at once: its table is read once for them. ms. */
const TABLE_HOLDS = 5000;

/** Of an MBR. */
const FIRST_LOGICAL = 5;

/** Prints so many bytes from an offset: those before an error, too. */
const READ = `my ($disk, $bytes, $got) = (undef, '', 0);
sysopen($disk, $ARGV[0], 0) && sysseek($disk, $ARGV[1], 0) or die "$!\\n";
do { $got = sysread($disk, $bytes, $ARGV[2] - length $bytes, length $bytes) } while $got;
my $error = "$!\\n";
syswrite(STDOUT, $bytes);
defined $got or die $error;`;

/** What was read, and why it is not all, where that is so. */
interface Read {
  readonly bytes: Buffer;
  readonly problem?: string;
  /** As in ChildResult. */
  readonly stuck?: Promise<void> | undefined;
}

interface Logical extends Omit<Read, 'bytes'> {
  readonly types: readonly string[];
}

interface Table {
  readonly disk: string;
  readonly until: number;
  readonly start: Promise<Read>;
  logical?: Promise<Logical>;
}

/** Of a partition, or why it could not be read. */
export type PartitionType =
  | { readonly type: string | undefined }
  | { readonly problem: string; readonly stuck: Promise<void> | undefined };

/** Reads of which types partitions are, as an unprivileged user: blkid tells that to root alone, who may open the whole disk. */
export class PartitionTypes {
  readonly #hasPerl = findProgram('perl') !== undefined;
  readonly #room = new ProbeRoom({ encoding: 'latin1', ...(this.#hasPerl ? { perl: READ } : {}) });
  readonly #tables = new Map<string, Table>();

  /** Has one child wait for the next disk. To be called when there is nothing more urgent. */
  prepare(): void {
    this.#room.prepare();
  }

  /** The type is undefined for a whole disk, and where the table does not tell. @throws Node's error where sysfs cannot be read */
  async of({ name, isPartition, disk: diskName }: BlockDevice): Promise<PartitionType> {
    const disk = isPartition ? readBlockDevice(diskName) : undefined;
    if (!disk) return { type: undefined };
    const number = Number(attribute(`/sys/class/block/${name}`, 'partition'));
    const sectorBytes = Number(attribute(`/sys/class/block/${diskName}`, 'queue/logical_block_size')) || 512;
    const table = this.#tableOf(disk);
    const start = await table.start;
    const type = partitionType(start.bytes, number, sectorBytes);
    if (type !== undefined || number < FIRST_LOGICAL) return typeOr(type, start);
    table.logical ??= this.#followLogical(disk, start, sectorBytes);
    const logical = await table.logical;
    return typeOr(logical.types[number - FIRST_LOGICAL], logical);
  }

  #tableOf(disk: BlockDevice): Table {
    const id = `${disk.device} ${disk.diskSequence}`;
    const known = this.#tables.get(disk.name);
    if (known?.disk === id && performance.now() < known.until) return known;
    const start = this.#read(disk, TABLE_BYTES);
    const table = { disk: id, until: performance.now() + TABLE_HOLDS, start };
    this.#tables.set(disk.name, table);
    void start.then((read) => this.#forgetFailed(disk, read));
    return table;
  }

  async #followLogical(disk: BlockDevice, start: Read, sectorBytes: number): Promise<Logical> {
    let failed: Read = start;
    const types = await logicalTypes(start.bytes, async (sector) => {
      const read = await this.#read(disk, sectorBytes, sector);
      if (read.problem !== undefined) failed = read;
      return read.bytes;
    });
    this.#forgetFailed(disk, failed);
    return { ...failed, types };
  }

  /** It is read again the next time. */
  #forgetFailed({ name }: BlockDevice, { problem }: Read): void {
    if (problem !== undefined) this.#tables.delete(name);
  }

  /** The block of this number, of so many bytes, as far as the disk has it. */
  async #read(disk: BlockDevice, bytes: number, block = 0): Promise<Read> {
    const offset = block * bytes;
    const expected = Math.min(bytes, disk.size - offset);
    if (expected <= 0) return { bytes: Buffer.alloc(0) };
    const args = (node: string): string[] =>
      this.#hasPerl
        ? [node, String(offset), String(bytes)]
        : [`if=${node}`, `bs=${bytes}`, `skip=${block}`, 'count=1', 'status=none'];
    try {
      const result = await this.#room.run(disk, 'dd', args, PROBE_DEADLINE);
      const read = Buffer.from(result.stdout, 'latin1');
      return read.length >= expected
        ? { bytes: read }
        : { bytes: read, problem: problemOf(result), stuck: result.stuck };
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      return { bytes: Buffer.alloc(0), problem: (error as Error).message };
    }
  }
}

/** What is known in spite of a problem counts. */
const typeOr = (type: string | undefined, { problem, stuck }: Omit<Read, 'bytes'>): PartitionType =>
  type !== undefined || problem === undefined ? { type } : { problem, stuck };

/** The child's own words. */
function problemOf({ timedOut, stderr, code }: ChildResult): string {
  if (timedOut) return `reading it did not end within ${PROBE_DEADLINE / 1000} s`;
  return stderr.trim() || (code === undefined ? 'the process that read it was killed' : 'it ends too early');
}
