import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { LxcfsMode } from '../../contract/lxcfs-modes.ts';
import { patient } from '../../linux/slowness.ts';
import type { Logger } from '../../observability/logger.ts';
import { awaitEnd, fetchLxcfsMetrics, fetchLxcfsStatus } from './api.ts';
import type { LxcfsStatus } from './status.ts';

export interface LxcfsClientOptions {
  readonly mode: LxcfsMode;
  readonly runDir: string;
  readonly version: string;
  /** The policy file, undefined for the built-in policy. */
  readonly policyFile: string | undefined;
  readonly log: Logger;
}

/** What the daemon knows of lxcfs: whatever the supervisor says. */
export interface LxcfsClient {
  /** Undefined where none is wanted. */
  status(): Promise<LxcfsStatus | { readonly problem: string } | undefined>;
  metrics(): Promise<string>;
  close(): void;
}

const CLI = fileURLToPath(new URL('../../cli.ts', import.meta.url));
const START_DEADLINE = patient(60_000);
const POLL = 25;
const RETRY = 5000;
const NOT_RUNNING = {
  problem: 'no hotmount lxcfs is running on this node: containers keep what they have until one is',
};

/** Follows the supervisor of a run dir; with `auto`, sees to it that there is one, of this version and with this policy. */
export function connectToLxcfs(options: LxcfsClientOptions): LxcfsClient {
  const { mode, runDir } = options;
  const closing = new AbortController();
  if (mode === 'auto') void keepOneRunning(options, closing.signal);
  return {
    async status() {
      if (mode === 'off') return undefined;
      try {
        return (await fetchLxcfsStatus(runDir)) ?? NOT_RUNNING;
      } catch (error) {
        return { problem: (error as Error).message };
      }
    },
    async metrics() {
      if (mode === 'off') return '';
      return (await fetchLxcfsMetrics(runDir).catch(() => undefined)) ?? '';
    },
    close: () => closing.abort(),
  };
}

async function keepOneRunning(options: LxcfsClientOptions, signal: AbortSignal): Promise<void> {
  const { runDir, log } = options;
  while (!signal.aborted) {
    try {
      if (!(await isRight(options))) await startSupervisor(options, signal);
      const connection = await awaitEnd(runDir);
      if (!connection) continue;
      const stop = (): void => connection.stop();
      signal.addEventListener('abort', stop, { once: true });
      await connection.ended;
      signal.removeEventListener('abort', stop);
    } catch (error) {
      if (signal.aborted) return;
      log.error(
        { err: error, runDir },
        `nobody may be looking after lxcfs: ${(error as Error).message}; next try in ${RETRY / 1000} s`,
      );
      await sleep(RETRY, undefined, { signal }).catch(() => {});
    }
  }
}

async function isRight({ runDir, version, policyFile }: LxcfsClientOptions): Promise<boolean> {
  const supervisor = (await fetchLxcfsStatus(runDir).catch(() => undefined))?.supervisor;
  return supervisor?.version === version && supervisor.policy === (policyFile ?? 'built-in');
}

/** Starts one that outlives this process; it takes over from one that is there. @throws where it ends, or does not come up */
async function startSupervisor(options: LxcfsClientOptions, signal: AbortSignal): Promise<void> {
  const { runDir, policyFile, log } = options;
  const policy = policyFile === undefined ? [] : ['--policy', policyFile];
  // With this process' own flags it need not start itself once more for them (commands/memory.ts).
  const args = [
    ...process.execArgv,
    CLI,
    'lxcfs',
    '--detached',
    '--run-dir',
    runDir,
    ...policy,
    '--log-level',
    log.level,
  ];
  // Its log goes where the daemon's goes, as long as somebody reads there.
  const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', 'ignore', 'inherit'], cwd: '/' });
  child.unref();
  let end: string | undefined;
  child.once('error', (error) => {
    end = error.message;
  });
  child.once('exit', (code, by) => {
    end = by ?? `exit code ${code}`;
  });
  log.info({ pid: child.pid }, 'started hotmount lxcfs');
  for (const deadline = performance.now() + START_DEADLINE; !signal.aborted; ) {
    if (await isRight(options)) return;
    if (end !== undefined) throw new Error(`hotmount lxcfs ended (${end}); its log says why`);
    if (performance.now() > deadline)
      throw new Error(`hotmount lxcfs did not come up within ${START_DEADLINE / 1000} s`);
    await sleep(POLL, undefined, { signal }).catch(() => {});
  }
}
