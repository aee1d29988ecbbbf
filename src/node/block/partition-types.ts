import { PROBE_DEADLINE } from '../../linux/blkid.ts';
import { type BlockDevice, readBlockDevice } from '../../linux/block.ts';
import { findProgram } from '../../linux/find-program.ts';
import { logicalTypes } from '../../linux/logical-partitions.ts';
import { partitionType, TABLE_BYTES } from '../../linux/partition-table.ts';
import { attribute } from '../../linux/sysfs.ts';
import { ProbeRoom } from './probe-room.ts';

/** The partitions of a disk come all at once: its table is read once for them. ms. */
const TABLE_HOLDS = 5000;

/** Of an MBR. */
const FIRST_LOGICAL = 5;

/** Prints so many bytes from an offset. */
const READ = `my ($disk, $bytes);
sysopen($disk, $ARGV[0], 0) && sysseek($disk, $ARGV[1], 0) && defined(sysread($disk, $bytes, $ARGV[2])) or die "$!\\n";
syswrite(STDOUT, $bytes);`;

/** Reads of which types partitions are, as an unprivileged user: blkid tells that to root alone, who may open the whole disk. */
export class PartitionTypes {
  readonly #hasPerl = findProgram('perl') !== undefined;
  readonly #room = new ProbeRoom({ encoding: 'latin1', ...(this.#hasPerl ? { perl: READ } : {}) });
  readonly #tables = new Map<
    string,
    { readonly disk: string; readonly until: number; readonly start: Promise<Buffer>; logical?: Promise<string[]> }
  >();

  /** Has one child wait for the next disk. To be called when there is nothing more urgent. */
  prepare(): void {
    this.#room.prepare();
  }

  /** Undefined for a whole disk, and where the table does not tell. @throws where no child can be started */
  async of({ name, isPartition, disk: diskName }: BlockDevice): Promise<string | undefined> {
    const disk = isPartition ? readBlockDevice(diskName) : undefined;
    if (!disk) return undefined;
    const number = Number(attribute(`/sys/class/block/${name}`, 'partition'));
    const sectorBytes = Number(attribute(`/sys/class/block/${diskName}`, 'queue/logical_block_size')) || 512;
    const table = this.#tableOf(disk);
    const start = await table.start;
    const type = partitionType(start, number, sectorBytes);
    if (type !== undefined || number < FIRST_LOGICAL) return type;
    table.logical ??= logicalTypes(start, (sector) => this.#read(disk, sectorBytes, sector));
    return (await table.logical)[number - FIRST_LOGICAL];
  }

  #tableOf(disk: BlockDevice): { readonly start: Promise<Buffer>; logical?: Promise<string[]> } {
    const id = `${disk.device} ${disk.diskSequence}`;
    const known = this.#tables.get(disk.name);
    if (known?.disk === id && performance.now() < known.until) return known;
    const start = this.#read(disk, TABLE_BYTES);
    const table = { disk: id, until: performance.now() + TABLE_HOLDS, start };
    this.#tables.set(disk.name, table);
    start.catch(() => this.#tables.delete(disk.name));
    return table;
  }

  /** The block of this number, of so many bytes. */
  async #read(disk: BlockDevice, bytes: number, block = 0): Promise<Buffer> {
    const args = (node: string): string[] =>
      this.#hasPerl
        ? [node, String(block * bytes), String(bytes)]
        : [`if=${node}`, `bs=${bytes}`, `skip=${block}`, 'count=1', 'status=none'];
    const { stdout } = await this.#room.run(disk, 'dd', args, PROBE_DEADLINE);
    return Buffer.from(stdout, 'latin1');
  }
}
