import { type BlockDevice, readBlockDevice } from '../../linux/block.ts';
import type { ExclusiveOpener, Exclusivity } from '../block/exclusive-opener.ts';
import type { DiskUse } from '../containers/disk-usage.ts';

interface Answer {
  readonly medium: string;
  readonly answer: Exclusivity | 'unclear';
  /** ms, monotonic. */
  readonly at: number;
}

/** ms in which whoever asked has come to ask again, and has made the node. */
const FREE_HOLDS = 1000;

/**
 * Whether somebody holds a disk, or a part of it, exclusively. The answer takes a child process: until it is there, the device waits, and is
 * reconciled again. "Free" holds for a moment only, since anybody may take the disk after it.
 */
export class DiskExclusivity {
  readonly #opener: ExclusiveOpener;
  readonly #onAnswer: (block: BlockDevice) => void;
  /** By name: of the medium that was there when it was asked. */
  readonly #answers = new Map<string, Answer>();
  readonly #asked = new Set<string>();

  /** @param onAnswer reconciles that one again */
  constructor(opener: ExclusiveOpener, onAnswer: (block: BlockDevice) => void) {
    this.#opener = opener;
    this.#onAnswer = onAnswer;
  }

  of(block: BlockDevice): DiskUse | 'asking' | 'unclear' | undefined {
    const { name } = block;
    const known = this.#answers.get(name);
    const isOfThis = known?.medium === mediumOf(block);
    if (isOfThis && known.answer === 'free' && performance.now() - known.at < FREE_HOLDS) return undefined;
    const answer = isOfThis && known.answer !== 'free' ? known.answer : undefined;
    // One that is held is asked about again, and its state stays until there is another answer.
    if (!this.#asked.has(name)) void this.#ask(block, answer);
    if (answer === undefined) return 'asking';
    return answer === 'unclear' ? answer : { kind: answer };
  }

  async #ask(block: BlockDevice, before: Exclusivity | 'unclear' | undefined): Promise<void> {
    this.#asked.add(block.name);
    // Where no child can be started, it is looked at again.
    const answer = await this.#askWhole(block).catch(() => 'unclear' as const);
    this.#asked.delete(block.name);
    this.#answers.set(block.name, { medium: mediumOf(block), answer, at: performance.now() });
    if (answer !== before) this.#onAnswer(block);
  }

  async #askWhole(block: BlockDevice): Promise<Exclusivity> {
    const whole = block.isPartition ? readBlockDevice(block.disk) : block;
    return whole ? this.#opener.ask(whole) : 'free';
  }
}

const mediumOf = ({ device, diskSequence, size }: BlockDevice): string => `${device} ${diskSequence} ${size}`;
