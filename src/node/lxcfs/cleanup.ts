import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from '../../linux/errors.ts';
import { tryLock } from '../../linux/file-lock.ts';
import { MountReplacer } from '../../linux/mount-replacer.ts';
import { patient } from '../../linux/slowness.ts';
import type { Logger } from '../../observability/logger.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { fetchLxcfsStatus } from './api.ts';
import { Attacher } from './attach.ts';
import { instanceIds, lockPath, prepareDirectories } from './layout.ts';
import { adoptProcess } from './process.ts';

/** @returns undefined if a supervisor holds it */
function lock(runDir: RunDir): (() => void) | undefined {
  try {
    prepareDirectories(runDir);
  } catch (error) {
    // The run dir is full: a supervisor cannot start, either.
    if (errorCode(error) === 'ENOSPC') return () => {};
    throw error;
  }
  return tryLock(lockPath(runDir));
}

/** ms. A supervisor that is told to stop does so at once. */
const END_DEADLINE = patient(10_000);

/**
 * Ends the supervisor that a `hotmount node` has started: nobody else could. One that a service manager or a pod keeps would be started
 * again, and is theirs to stop.
 * @throws Error where it is such a one, or does not end
 */
async function endOwnSupervisor(runDir: RunDir, log: Logger): Promise<() => void> {
  const pid = (await fetchLxcfsStatus(runDir.path).catch(() => undefined))?.supervisor.pid;
  if (pid !== undefined && isDetached(pid)) {
    process.kill(pid, 'SIGTERM');
    for (const deadline = performance.now() + END_DEADLINE; performance.now() < deadline; await sleep(50)) {
      const unlock = lock(runDir);
      if (!unlock) continue;
      log.info({ pid }, 'ended the supervisor of lxcfs that hotmount node had started');
      return unlock;
    }
  }
  const which = pid === undefined ? 'its process id is in /proc/locks' : `process ${pid}`;
  throw new Error(
    `hotmount lxcfs is running on ${runDir.path} (${which}): stop it first: its service, or its pod (in a cluster, docs/install.md, Uninstalling)`,
  );
}

function isDetached(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes('--detached');
  } catch {
    return false;
  }
}

/**
 * Takes the files of lxcfs out of all containers, which then read the node's, and ends every lxcfs of ours.
 * @returns false where a container kept some; the log says which
 * @throws Error where a supervisor is running, whether or not it answers; none can start meanwhile
 */
export async function cleanUpLxcfs(runDir: RunDir, log: Logger): Promise<boolean> {
  const unlock = lock(runDir) ?? (await endOwnSupervisor(runDir, log));
  const replacer = new MountReplacer();
  try {
    const attacher = new Attacher(replacer, runDir.path);
    attacher.setSources(new Map());
    const { failures } = await attacher.attachAll();
    for (const problem of failures) log.error(problem, 'a file of lxcfs could not be taken out of a container');
    for (const id of instanceIds(runDir)) adoptProcess(runDir, id, log, () => {})?.clear();
    return failures.length === 0;
  } finally {
    await replacer.close();
    unlock();
  }
}
