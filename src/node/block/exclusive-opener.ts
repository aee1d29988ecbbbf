import { constants as open } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BlockDevice } from '../../linux/block.ts';
import { errnoName, isShortage } from '../../linux/errors.ts';
import { findProgram } from '../../linux/find-program.ts';
import { patient } from '../../linux/slowness.ts';
import { ProbeRoom } from './probe-room.ts';

/**
 * `held`: somebody holds the device exclusively: a file system that is mounted (also one that no mount table shows any more), an external
 * journal, RAID, LVM, bcache, ZFS, swap, or a tool such as mkfs.
 */
export type Exclusivity = 'free' | 'held' | 'hangs';

/** ms */
export const OPEN_DEADLINE = patient(10_000);
/** Some tools hold a disk for a moment only, to look at it: the second answer counts. ms. */
const SECOND_LOOK = 30;

/** Exit code: the errno, 0 where it could be opened. Perl is on every Debian, and starts in a tenth of Node's time. */
const PERL = 'sysopen(my $disk, $ARGV[0], $ARGV[1]) or exit($!+0); close($disk)';
const NODE = [
  '-e',
  'try { fs.closeSync(fs.openSync(process.argv[1], +process.argv[2])) } catch ({ errno }) { process.exit(-errno) }',
];
/** Closed at once, and not with the process that ends: in that moment, others who want it exclusively, mkfs for instance, are refused. */
const FLAGS = open.O_RDONLY | open.O_EXCL | open.O_NONBLOCK;

/** Asks the kernel whether somebody holds a disk exclusively, as open(2) with O_EXCL does for block devices, in a child process. */
export class ExclusiveOpener {
  readonly #hasPerl = findProgram('perl') !== undefined;
  readonly #room = new ProbeRoom(this.#hasPerl ? { perl: PERL } : {});
  /** A disk and its partitions exclude one another: they are asked one after the other. By the disk's name. */
  readonly #turns = new Map<string, Promise<unknown>>();

  /** Has one child wait for the next disk. To be called when there is nothing more urgent. */
  prepare(): void {
    this.#room.prepare();
  }

  /**
   * A device that cannot be opened for another reason is free: whoever mounts or reads it is told why.
   * @throws where no child can be started, or it ended without an answer
   */
  async ask(device: Pick<BlockDevice, 'device' | 'disk'>): Promise<Exclusivity> {
    const before = this.#turns.get(device.disk);
    const turn = this.#askTwice(device, before);
    this.#turns.set(device.disk, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(device.disk) === turn) this.#turns.delete(device.disk);
    }
  }

  async #askTwice(device: Pick<BlockDevice, 'device'>, before: Promise<unknown> | undefined): Promise<Exclusivity> {
    // How it ended is told to whoever asked.
    await before?.catch(() => {});
    const answer = await this.#open(device);
    if (answer !== 'held') return answer;
    await sleep(SECOND_LOOK);
    return this.#open(device);
  }

  async #open(device: Pick<BlockDevice, 'device'>): Promise<Exclusivity> {
    const args = (node: string): string[] => [...(this.#hasPerl ? [] : NODE), node, String(FLAGS)];
    const { code, timedOut } = await this.#room.run(device, process.execPath, args, OPEN_DEADLINE);
    return readAnswer(code, timedOut);
  }
}

/**
 * What the child's end means.
 * @param code its exit code: the errno, 0 where it could open the device, undefined where a signal ended it
 * @throws Error where that is no answer
 */
export function readAnswer(code: number | undefined, timedOut: boolean): Exclusivity {
  if (timedOut) return 'hangs';
  if (code === undefined || isShortage(code))
    throw new Error(`the child that opens it ended by ${code === undefined ? 'a signal' : errnoName(code)}`);
  return code === constants.errno.EBUSY ? 'held' : 'free';
}
