import { resolve } from 'node:path';
import { Command } from 'commander';
import { LXCFS_MODES, type LxcfsMode } from '../contract/lxcfs-modes.ts';
import { RUN_DIR } from '../contract/paths.ts';
import type { NodeDaemon } from '../node/daemon.ts';
import { LOG_LEVELS, type LogLevel } from '../observability/log-levels.ts';

interface Flags {
  policy?: string;
  runDir: string;
  host: string;
  lxcfs: string;
  metricsPort: string;
  eventBuffer: string;
  logLevel: string;
  cleanup?: true;
}

class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** `hotmount node`: mounts disks until a signal. Exit codes: 1 where it cannot work, or could not clean up, 2 for wrong flags and bad files. */
export function nodeCommand(): Command {
  return new Command('node')
    .description('mount hot-plugged disks into the running pods of this node')
    .option('--policy <file>', 'the policy, read again when it changes (default: the built-in one)')
    .option('--run-dir <directory>', 'what pods mount from', RUN_DIR)
    .option(
      '--lxcfs <mode>',
      `${LXCFS_MODES.join(', ')}: start hotmount lxcfs, leave it to another pod, do without`,
      'auto',
    )
    .option('--host <address>', 'the address for --metrics-port; empty: all of them', '')
    .option('--metrics-port <number>', 'for /metrics, /healthz and /readyz over plain HTTP; 0: any free one', '8081')
    .option('--event-buffer <bytes>', 'how much the kernel may keep of events that are not read yet', '16777216')
    .option('--log-level <level>', LOG_LEVELS.join(', '), 'info')
    .option('--cleanup', 'unmount everything, remove the run dir and end: for uninstalling')
    .action(async (flags: Flags, command: Command) => {
      try {
        const logLevel = readLogLevel(flags.logLevel);
        const port = readPort(flags.metricsPort);
        if (flags.cleanup) await cleanUp(flags.runDir, logLevel);
        else await run(flags, readLxcfsMode(flags.lxcfs), port, readBytes(flags.eventBuffer), logLevel);
      } catch (error) {
        const { name, message } = error as Error;
        command.error(`error: ${message}`, { exitCode: ['UsageError', 'PolicyError'].includes(name) ? 2 : 1 });
      }
    });
}

function readPort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new UsageError(`--metrics-port ${text}: expected a whole number from 0 to 65535`);
}

function readLxcfsMode(text: string): LxcfsMode {
  const mode = LXCFS_MODES.find((known) => known === text);
  if (!mode) throw new UsageError(`--lxcfs ${text}: expected one of ${LXCFS_MODES.join(', ')}`);
  return mode;
}

function readBytes(text: string): number {
  if (/^\d{4,9}$/.test(text)) return Number(text);
  throw new UsageError(`--event-buffer ${text}: expected a number of bytes from 4 to 9 digits`);
}

function readLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === text);
  if (!level) throw new UsageError(`--log-level ${text}: expected one of ${LOG_LEVELS.join(', ')}`);
  return level;
}

/** The heavy modules are imported here, once it is clear that they are needed: `--help` does without. */
async function run(
  flags: Flags,
  lxcfs: LxcfsMode,
  port: number,
  receiveBuffer: number,
  logLevel: LogLevel,
): Promise<void> {
  const [{ createLogger }, { VERSION }, policies, { startNode }] = await Promise.all([
    import('../observability/logger.ts'),
    import('../observability/version.ts'),
    import('../policy/index.ts'),
    import('../node/daemon.ts'),
  ]);
  const log = createLogger(logLevel);
  let daemon: NodeDaemon | undefined;
  const source =
    flags.policy === undefined
      ? { current: policies.defaultPolicy, close() {} }
      : policies.openPolicyFile(flags.policy, {
          onChange(policy) {
            log.info({ policy: flags.policy }, 'policy reloaded');
            daemon?.setPolicy(policy);
          },
          onError: (error) => daemon?.policyFailed(error),
        });
  // Before anything is started: a signal that comes while it starts is not lost.
  const stopped = Promise.race(['SIGTERM', 'SIGINT'].map((signal) => onceSignal(signal as NodeJS.Signals)));
  const initial = source.current();
  daemon = await startNode({
    runDir: flags.runDir,
    policy: initial,
    policySource: flags.policy ?? 'built-in',
    policyFile: flags.policy === undefined ? undefined : resolve(flags.policy),
    lxcfs,
    host: flags.host,
    port,
    receiveBuffer,
    version: VERSION,
    log,
  });
  if (source.current() !== initial) daemon.setPolicy(source.current());
  log.info({ metricsPort: daemon.port, policy: flags.policy ?? 'built-in', version: VERSION }, 'serving');

  const signal = await stopped;
  log.info({ signal }, 'stopping; what is mounted stays');
  // A second signal ends it at once, and so does anything that hangs: nothing would be lost.
  for (const again of ['SIGTERM', 'SIGINT'] as const) process.once(again, () => process.exit(1));
  source.close();
  await daemon.close();
}

const onceSignal = (signal: NodeJS.Signals): Promise<string> =>
  new Promise((resolve) => process.once(signal, () => resolve(signal)));

async function cleanUp(runDir: string, logLevel: LogLevel): Promise<void> {
  const [{ createLogger }, cleanup] = await Promise.all([
    import('../observability/logger.ts'),
    import('../node/cleanup.ts'),
  ]);
  if (!(await cleanup.cleanUp(runDir, createLogger(logLevel)))) process.exitCode = 1;
}
