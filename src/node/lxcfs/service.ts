import { setTimeout as sleep } from 'node:timers/promises';
import { tryLock } from '../../linux/file-lock.ts';
import { readMountinfo } from '../../linux/mountinfo.ts';
import { watchMountTable } from '../../linux/readiness.ts';
import { patient } from '../../linux/slowness.ts';
import type { Logger } from '../../observability/logger.ts';
import type { LxcfsPolicy } from '../../policy/policy.ts';
import { Attempts } from '../reconcile/attempts.ts';
import { isRunDir, openRunDir, type RunDir } from '../run-dir/run-dir.ts';
import { askToYield, type Control, startControl } from './api.ts';
import { lockPath, prepareDirectories } from './layout.ts';
import { whyNotSettled } from './readiness.ts';
import { Supervisor } from './supervisor.ts';

export interface LxcfsServiceOptions {
  readonly runDir: string;
  /** As in openRunDir. */
  readonly selinux: string;
  readonly policy: LxcfsPolicy;
  readonly version: string;
  readonly log: Logger;
  /** ms. */
  readonly checkEvery: number;
  /** Where the policy comes from, for those who ask. */
  readonly policySource: string;
  /** Started by a daemon, for itself: it ends when another takes over. Else it stays, in case that one fails. */
  readonly isDetached: boolean;
}

export interface LxcfsService {
  setPolicy(policy: LxcfsPolicy): void;
  /** Resolves where there is nothing left to supervise: the run dir is gone, or another has taken over. */
  readonly ended: Promise<void>;
  /** Why containers do not read from what this supervisor has started; undefined where they do. */
  notReady(): string | undefined;
  /** Ends the supervision; every lxcfs goes on running. */
  close(): Promise<void>;
}

/** ms for which another supervisor may take to let go. */
const YIELD_DEADLINE = patient(10_000);
/** ms between two tries of one that has let go: should its successor fail, it goes on. */
const RESUME_EVERY = 2000;
const POLL = 20;

/**
 * Runs the supervisor of a run dir. There is one at a time: the last one to come asks the one before to let go, and adopts what it
 * leaves running or replaces it. So a rolling update hands over without a moment in which nobody serves.
 * @throws Error where the other one does not let go
 */
export async function startLxcfsService(options: LxcfsServiceOptions): Promise<LxcfsService> {
  const { log } = options;
  const runDir = openRunDir(options.runDir, options.selinux);
  const attempts = new Attempts(log);
  prepareDirectories(runDir);
  let unlock = await takeOver(runDir, log);
  let { policy } = options;
  let isClosed = false;
  let supervisor: Supervisor | undefined;
  let control: Control | undefined;
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();

  const supervise = async (): Promise<void> => {
    const current = new Supervisor({ ...options, runDir, policy });
    supervisor = current;
    control = await startControl(runDir, {
      status: () => current.status(),
      metrics: () => current.metrics.registry.metrics(),
      yield: async () => {
        if (!(await release())) return;
        log.info('another supervisor takes over: let go');
        if (options.isDetached) end();
        else void resume();
      },
    });
    if (isClosed) return control.close();
    await current.start();
  };
  /** @returns false where that is done, or being done, already */
  const release = async (): Promise<boolean> => {
    const current = supervisor;
    if (!current) return false;
    supervisor = undefined;
    await current.close();
    control?.withdraw();
    unlock();
    unlock = () => {};
    return true;
  };
  const resume = async (): Promise<void> => {
    for (;;) {
      await sleep(RESUME_EVERY);
      if (isClosed) return;
      try {
        const lock = tryLock(lockPath(runDir));
        if (!lock) continue;
        unlock = lock;
        log.warn('the supervisor that had taken over has ended: going on');
        // Who has waited for this one's end waits for it at the new socket.
        control?.close();
        return await supervise();
      } catch (error) {
        log.error({ err: error }, `lxcfs goes on, but cannot be supervised: next try in ${RESUME_EVERY / 1000} s`);
        await release();
      }
    }
  };

  await supervise();
  const onMountsChanged = (): void => {
    if (isClosed) return;
    const mounts = readMountinfo();
    if (mounts.some((mount) => mount.mountPoint === runDir.path && isRunDir(mount))) {
      supervisor?.mountsChanged(mounts);
      return;
    }
    log.error({ runDir: runDir.path }, 'the run dir has been unmounted: ending every lxcfs');
    isClosed = true;
    process.exitCode = 1;
    void Promise.resolve(supervisor?.close(true)).finally(end);
  };
  const unwatch = watchMountTable(() => attempts.run('following the mount table', onMountsChanged));

  return {
    ended,
    setPolicy(next) {
      policy = next;
      attempts.run('the policy', () => supervisor?.setPolicy(policy));
    },
    notReady: () => (supervisor ? whyNotSettled(supervisor.status()) : 'another supervisor has taken over'),
    async close() {
      isClosed = true;
      attempts.close();
      unwatch();
      control?.close();
      await release();
      runDir.close();
    },
  };
}

async function takeOver(runDir: RunDir, log: Logger): Promise<() => void> {
  const deadline = performance.now() + YIELD_DEADLINE;
  for (let tries = 0; ; tries++) {
    const lock = tryLock(lockPath(runDir));
    if (lock) return lock;
    if (tries === 0) log.info('asking the supervisor that is running to let go');
    // Each time anew: a third one may have been faster, and be the one that has to let go now.
    await askToYield(runDir.path).catch(() => {});
    if (performance.now() > deadline) {
      throw new Error(
        `another hotmount lxcfs supervises ${runDir.path} and does not let go within ${YIELD_DEADLINE / 1000} s: stop it (kill -9 costs nothing: every lxcfs goes on running)`,
      );
    }
    await sleep(POLL);
  }
}
