import { PROBE_DEADLINE, type Probe, probeArguments, readProbe } from '../../linux/blkid.ts';
import type { BlockDevice } from '../../linux/block.ts';
import { errorCode } from '../../linux/errors.ts';
import { ProbeRoom } from './probe-room.ts';

/** Reads what is on disks, as an unprivileged user. */
export class Prober {
  readonly #room = new ProbeRoom();

  /** Has one blkid wait for the next disk. To be called when there is nothing more urgent. */
  prepare(): void {
    this.#room.prepare();
  }

  async probe(device: BlockDevice): Promise<Probe> {
    try {
      return readProbe(await this.#room.run(device, 'blkid', probeArguments, PROBE_DEADLINE));
    } catch (error) {
      const hint = errorCode(error) === 'ENOENT' ? ': install util-linux' : '';
      return { outcome: 'failed', detail: `${(error as Error).message}${hint}` };
    }
  }
}
