import { residentMemory } from '../../linux/process-memory.ts';
import type { Logger } from '../../observability/logger.ts';
import type { LxcfsProcess } from './process.ts';

/** Why one that answers is to be replaced: it is too `large`, or it is `stuck` with the requests of some readers. */
export type Ailment = 'large' | 'stuck';

/** Bytes. lxcfs takes 4 MiB; two of them and their supervisor have 256 MiB in the chart. */
const MEMORY_LIMIT = 64 << 20;

/**
 * lxcfs before 6.0 keeps the memory that parallel readers have once needed, and can lock itself out: one that has grown is replaced before
 * the kernel ends it, and one that is stuck before more readers are.
 */
export function findAilment(process: LxcfsProcess, log: Logger): Ailment | undefined {
  const { id, record } = process;
  const bytes = residentMemory(record.pid);
  const about = { instance: id, pid: record.pid, lxcfs: record.version };
  if (bytes > MEMORY_LIMIT) {
    log.warn(
      { ...about, mebibytes: bytes >> 20, limit: MEMORY_LIMIT >> 20 },
      'lxcfs uses too much memory: it is replaced',
    );
    return 'large';
  }
  const waitsIn = process.findStuck();
  if (waitsIn === undefined) return undefined;
  log.warn(
    { ...about, waitsIn },
    'lxcfs does not answer some readers, and answers the others: it is replaced, and those who wait get an error then',
  );
  return 'stuck';
}
