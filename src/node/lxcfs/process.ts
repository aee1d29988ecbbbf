import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { errorCode } from '../../linux/errors.ts';
import { abortFuse, openFuseRequests } from '../../linux/fuse.ts';
import { hasEnded, openPidfd, readStartTime, signalPidfd } from '../../linux/pidfd.ts';
import { watchReadiness } from '../../linux/readiness.ts';
import type { Logger } from '../../observability/logger.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import {
  type InstanceRecord,
  instancePath,
  instanceWork,
  mountedDevice,
  readRecord,
  removeInstance,
} from './layout.ts';
import { LAST_LINES, readLog, said } from './process-log.ts';
import { StuckThreads, threadsOf } from './stuck-threads.ts';

/** One running lxcfs, whoever started it. */
export class LxcfsProcess {
  readonly id: string;
  readonly record: InstanceRecord;
  /** `major:minor` of its file system. */
  readonly device: string;
  readonly mountPoint: string;
  readonly #runDir: RunDir;
  readonly #pidfd: number;
  readonly #unwatch: () => void;
  readonly #log: Socket | undefined;
  readonly #stuckThreads = new StuckThreads();
  #lines: readonly string[] = [];
  #isDead = false;

  /** @param pidfd of its process, closed with it @param onDeath called once, when that ends */
  constructor(
    runDir: RunDir,
    id: string,
    record: InstanceRecord,
    device: string,
    pidfd: number,
    log: Logger,
    onDeath: () => void,
  ) {
    this.#runDir = runDir;
    this.id = id;
    this.record = record;
    this.device = device;
    this.mountPoint = instancePath(runDir, id);
    this.#pidfd = pidfd;
    try {
      this.#unwatch = watchReadiness(this.#pidfd, 'readable', () => {
        if (this.#isDead) return;
        this.#isDead = true;
        onDeath();
      });
    } catch (error) {
      closeSync(pidfd);
      throw error;
    }
    this.#log = readLog(instanceWork(runDir, id, 'log'), (line) => {
      this.#lines = [...this.#lines, line].slice(-LAST_LINES);
      log.debug({ instance: id }, `lxcfs: ${line}`);
    });
  }

  /** What it printed last, in one line, to follow a message; empty where that is nothing. */
  get said(): string {
    return said(this.#lines);
  }

  /** Whether its process runs, also where its end has not been told yet. */
  get isRunning(): boolean {
    return !hasEnded(this.#pidfd);
  }

  /** What the kernel calls what a thread waits for without end, and a reader with it; undefined where there is none. Takes two looks. */
  findStuck(): string | undefined {
    try {
      const threads = threadsOf(this.record.pid);
      return this.#stuckThreads.find(threads, openFuseRequests(this.device), performance.now());
    } catch {
      // It has ended; or it cannot be told now, and what was found before stays for the next time.
      return undefined;
    }
  }

  /** Ends it: whoever waits for it gets an error now, and so does everyone who still asks. @throws SystemCallError */
  abort(): void {
    signalPidfd(this.#pidfd, 'SIGKILL');
    abortFuse(this.device);
  }

  /** Stops looking after it. It goes on running. */
  release(): void {
    this.#unwatch();
    closeSync(this.#pidfd);
    this.#log?.destroy();
  }

  /** Ends it and clears away all that it leaves on the node. Containers keep their mounts. */
  clear(): void {
    this.abort();
    this.release();
    removeInstance(this.#runDir, this.id);
  }
}

/**
 * The instance of an earlier supervisor, if it is still running and mounted; else what it left is cleared away. Only what lies in the
 * run dir's own directory for instances is touched: every other lxcfs is someone else's.
 */
export function adoptProcess(runDir: RunDir, id: string, log: Logger, onDeath: () => void): LxcfsProcess | undefined {
  const record = readRecord(runDir, id);
  const device = mountedDevice(runDir, id);
  const pidfd = record && device !== undefined ? pidfdOf(record) : undefined;
  if (record && device !== undefined && pidfd !== undefined) {
    return new LxcfsProcess(runDir, id, record, device, pidfd, log, onDeath);
  }
  // Not yet mounted, it ends by itself when it finds its directory gone.
  if (device !== undefined) abortFuse(device);
  removeInstance(runDir, id);
  return undefined;
}

/** What keeps hold of the process, and of no other that has its number by now; undefined where it has ended. */
export function pidfdOf({ pid, startTime }: Pick<InstanceRecord, 'pid' | 'startTime'>): number | undefined {
  let pidfd: number;
  try {
    pidfd = openPidfd(pid);
  } catch (error) {
    // EINVAL: the number of a thread by now (before Linux 6.9).
    if (['ESRCH', 'EINVAL', 'ENOENT'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
  let isSame = false;
  try {
    isSame = readStartTime(pid) === startTime;
  } finally {
    if (!isSame) closeSync(pidfd);
  }
  return isSame ? pidfd : undefined;
}
