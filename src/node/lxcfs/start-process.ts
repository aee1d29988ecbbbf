import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno, isUnreadableProcess } from '../../linux/errors.ts';
import { readStartTime } from '../../linux/pidfd.ts';
import { patient } from '../../linux/slowness.ts';
import type { Logger } from '../../observability/logger.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import {
  instancePath,
  instanceWork,
  makeInstanceDirectory,
  mountedDevice,
  removeInstance,
  writeRecord,
} from './layout.ts';
import type { Namespaces } from './namespaces.ts';
import { LxcfsProcess, pidfdOf } from './process.ts';
import { makeLog, readLog, said } from './process-log.ts';
import { argumentsFor, fingerprint, type Program, placeOf } from './program.ts';

/** ms. It takes some 20, and a node that is busy booting and has to load the FUSE module first, many seconds. */
const START_DEADLINE = patient(30_000);
const POLL = 3;
/** The kernel's OOM killer takes everything else first, and the containers' readers with it. */
const OOM_SCORE = '-999';

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
