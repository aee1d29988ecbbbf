import { PROBE_DEADLINE, type Probe, probeArguments, readProbe } from '../../linux/blkid.ts';
import type { BlockDevice } from '../../linux/block.ts';
import { errorCode } from '../../linux/errors.ts';
import { KernelLog, kernelWords, linesAbout } from '../../linux/kernel-log.ts';
import { ProbeRoom } from './probe-room.ts';

/** Reads what is on disks, as an unprivileged user. */
export class Prober {
  readonly #room = new ProbeRoom();

  /** Has one blkid wait for the next disk. To be called when there is nothing more urgent. */
  prepare(): void {
    this.#room.prepare();
  }

  async probe(device: BlockDevice): Promise<Probe> {
    const log = new KernelLog();
    try {
      const probe = readProbe(await this.#room.run(device, 'blkid', probeArguments, PROBE_DEADLINE));
      return probe.outcome === 'failed' ? { ...probe, detail: withKernelWords(probe.detail, device, log) } : probe;
    } catch (error) {
      const hint = errorCode(error) === 'ENOENT' ? ': install util-linux' : '';
      return { outcome: 'failed', detail: `${(error as Error).message}${hint}` };
    } finally {
      log.close();
    }
  }
}

/** Of a partition, errors are told of the whole disk. */
function withKernelWords(detail: string, { name, disk }: BlockDevice, log: KernelLog): string {
  const lines = log.read();
  const said = [...new Set([...linesAbout(name, lines), ...linesAbout(disk, lines)])];
  return [detail, kernelWords(said)].filter(Boolean).join('; ');
}
