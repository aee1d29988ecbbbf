import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, isErrno, isUnreadableProcess } from '../../linux/errors.ts';
import { abortFuse } from '../../linux/fuse.ts';
import { check, libc } from '../../linux/libc.ts';
import { hasEnded, openPidfd, readStartTime, signalPidfd } from '../../linux/pidfd.ts';
import { watchReadiness } from '../../linux/readiness.ts';
import type { Logger } from '../../observability/logger.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import {
  type InstanceRecord,
  instancePath,
  instanceWork,
  makeInstanceDirectory,
  mountedDevice,
  readRecord,
  removeInstance,
  writeRecord,
} from './layout.ts';
import type { Namespaces } from './namespaces.ts';
import { argumentsFor, fingerprint, type Program, placeOf } from './program.ts';

/** ms. It takes some 20, and a node that is busy booting and has to load the FUSE module first, many seconds. */
const START_DEADLINE = 30_000;
const POLL = 3;
/** The kernel's OOM killer takes everything else first, and the containers' readers with it. */
const OOM_SCORE = '-999';

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

  /** Bytes that it has in memory, 0 where it has ended. */
  get memory(): number {
    try {
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.record.pid}/status`, 'latin1'))?.[1]) * 1024;
    } catch {
      return 0;
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
function pidfdOf({ pid, startTime }: Pick<InstanceRecord, 'pid' | 'startTime'>): number | undefined {
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

/**
 * Starts an lxcfs that outlives this process: in a session of its own, its output going into a pipe that it holds open itself and that
 * never blocks it.
 * @returns when its file system is mounted
 * @throws Error with what it printed
 */
export async function startProcess(
  runDir: RunDir,
  program: Program,
  namespaces: Namespaces,
  { loadavg, setup }: { loadavg: boolean; setup: string },
  log: Logger,
  onDeath: () => void,
): Promise<LxcfsProcess> {
  const id = makeInstanceDirectory(runDir);
  const output: string[] = [];
  let child: ChildProcess;
  let reader: Socket | undefined;
  try {
    const log = makeLog(runDir, id);
    reader = readLog(log, (line) => output.push(line));
    child = launch(runDir, id, program, namespaces, loadavg, log);
  } catch (error) {
    reader?.destroy();
    removeInstance(runDir, id);
    throw error;
  }
  const ended = Promise.race([once(child, 'exit').then(([code, signal]) => code ?? signal), once(child, 'error')]);
  let end: unknown;
  void ended.then(
    (how) => {
      end = Array.isArray(how) ? how[0] : how;
    },
    () => {},
  );
  try {
    for (const deadline = performance.now() + START_DEADLINE; ; ) {
      const device = mountedDevice(runDir, id);
      if (device !== undefined && child.pid !== undefined && end === undefined) {
        return instanceOf(child.pid, device);
      }
      if (end !== undefined) throw new Error(`${placeOf(program)} ended (${describeEnd(end)})${said(output)}`);
      if (performance.now() > deadline)
        throw new Error(`${placeOf(program)} was not mounted within ${START_DEADLINE / 1000} s${said(output)}`);
      await sleep(POLL);
    }
  } catch (error) {
    child.kill('SIGKILL');
    removeInstance(runDir, id);
    throw error;
  } finally {
    reader?.destroy();
  }

  function instanceOf(pid: number, device: string): LxcfsProcess {
    const startTime = readStartTime(pid) ?? '';
    protectFromOom(pid, log);
    const { version } = program;
    const record = {
      pid,
      startTime,
      version,
      fingerprint: fingerprint(program, pid),
      setup,
      since: new Date().toISOString(),
    };
    writeRecord(runDir, id, record);
    const pidfd = pidfdOf(record);
    if (pidfd === undefined) throw new Error(`${placeOf(program)} ended as soon as it was mounted${said(output)}`);
    return new LxcfsProcess(runDir, id, record, device, pidfd, log, onDeath);
  }
}

/** The pipe that an instance writes to. @returns its path @throws SystemCallError */
function makeLog(runDir: RunDir, id: string): string {
  const path = instanceWork(runDir, id, 'log');
  check(libc.mkfifo(path, 0o600), 'mkfifo', path);
  return path;
}

/** @throws Node's error where there is no process or no descriptor left for it */
function launch(
  runDir: RunDir,
  id: string,
  program: Program,
  namespaces: Namespaces,
  loadavg: boolean,
  log: string,
): ChildProcess {
  const inherited: number[] = [];
  try {
    inherited.push(openSync(instanceWork(runDir, id, '.'), constants.O_RDONLY | constants.O_DIRECTORY));
    inherited.push(openSync(log, constants.O_RDWR | constants.O_NONBLOCK));
    const args = argumentsFor(program, { loadavg, pidfile: '/proc/self/fd/3/pid' });
    // libuv makes descriptors 0 to 2 blocking; the shell takes the pipe from 4, as it is.
    const command = 'exec nsenter "$@" >&4 2>&4 4>&-';
    const words = [...namespaces.arguments, '--', program.path, ...args, instancePath(runDir, id)];
    const child = spawn('sh', ['-c', command, 'sh', ...words], {
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', ...inherited],
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    child.unref();
    // The supervisor may run at a higher one; what containers ask for is no reason to.
    if (child.pid !== undefined) setUsualPriority(child.pid);
    return child;
  } finally {
    for (const fd of inherited) closeSync(fd);
  }
}

function setUsualPriority(pid: number): void {
  try {
    setPriority(pid, 0);
  } catch {
    // ESRCH: it has ended, which whoever waits for it is told.
  }
}

const describeEnd = (end: unknown): string =>
  end instanceof Error ? end.message : typeof end === 'number' ? `exit code ${end}` : String(end);

/** The first lines are chatter. */
const LAST_LINES = 3;
const said = (output: readonly string[]): string =>
  output.length > 0 ? `: ${output.slice(-LAST_LINES).join('; ')}` : '';

function protectFromOom(pid: number, log: Logger): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, OOM_SCORE);
  } catch (error) {
    if (!isErrno(error, 'EACCES', 'EPERM', 'ENOENT', 'ESRCH')) throw error;
    log.warn(`lxcfs is not protected from the OOM killer: CAP_SYS_RESOURCE is missing (${readScore(pid)})`);
  }
}

function readScore(pid: number): string {
  try {
    return `oom_score_adj is ${readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim()}`;
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return 'it has ended';
  }
}

const LINE_LIMIT = 500;

/** What an instance writes, line by line, for as long as someone listens; never keeps this process running. */
function readLog(path: string, onLine: (line: string) => void): Socket | undefined {
  try {
    const socket = new Socket({
      fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK),
      readable: true,
      writable: false,
    });
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = (lines.pop() ?? '').slice(0, LINE_LIMIT);
      for (const line of lines) if (line.trim() !== '') onLine(line.slice(0, LINE_LIMIT));
    });
    socket.on('error', () => {});
    socket.unref();
    return socket;
  } catch {
    // ENOENT: it was removed meanwhile. Whatever else it is, an instance works without its log.
    return undefined;
  }
}
