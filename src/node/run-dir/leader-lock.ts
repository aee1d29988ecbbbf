import { closeSync, openSync } from 'node:fs';
import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { tryLock } from '../../linux/file-lock.ts';
import type { Logger } from '../../observability/logger.ts';
import { listenForHealth } from '../http/health.ts';
import { closeServer, portOf } from '../http/server.ts';
import { checkPropagation } from './propagation-check.ts';
import { isReachable, openRunDir, type RunDir } from './run-dir.ts';

/** ms. The longest time without a leader, after the last one has ended. The first resync finds what happens meanwhile. */
const POLL = 50;

export interface LeaderLockOptions {
  readonly runDir: string;
  /** As in openRunDir. */
  readonly selinux: string;
  readonly host: string;
  /** Of health and metrics; undefined: none. */
  readonly port: number | undefined;
  readonly log: Logger;
}

/**
 * Resolves when this process is the leader, the only one that serves the run dir, until it ends or releases the lock. An update of the
 * DaemonSet starts the new daemon beside the old one, and ends the old one when the new one is ready. So a second daemon stands by: it has
 * checked that it could serve, answers the kubelet, and takes over when the first one ends.
 *
 * @returns releases the lock
 * @throws Error that says what to do
 */
export async function acquireLeaderLock(options: LeaderLockOptions): Promise<() => void> {
  const { runDir: path, selinux, host, port, log } = options;
  const runDir = openRunDir(path, selinux);
  try {
    const free = tryLeaderLock(runDir);
    if (free) return free;
    const problem = await checkPropagation(runDir);
    let health: Server | undefined;
    if (port !== undefined) {
      health = await listenForHealth(port, host, {
        notReady: () => problem,
        detail: async () => `standing by: another daemon serves ${runDir.path}`,
        metrics: async () => '',
      });
    }
    const metricsPort = health && portOf(health);
    if (problem !== undefined) log.error(problem);
    log.info({ runDir: runDir.path, metricsPort }, 'another daemon serves the run dir: standing by until it ends');
    let turn = tryLeaderLock(runDir);
    for (; !turn; turn = tryLeaderLock(runDir)) await sleep(POLL);
    log.info('the other daemon has ended: taking over');
    if (health) closeServer(health);
    if (isReachable(runDir)) return turn;
    // The other one has ended because the run dir was lost: the lock is another in the new one.
    turn();
    return await acquireLeaderLock(options);
  } finally {
    runDir.close();
  }
}

/** Takes the lock if no daemon holds it. @returns a function that releases it; undefined if a daemon is running */
export function tryLeaderLock({ work }: RunDir): (() => void) | undefined {
  const lock = `${work}/.node.lock`;
  closeSync(openSync(lock, 'a', 0o600));
  return tryLock(lock);
}
