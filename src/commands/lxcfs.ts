import { constants, setPriority } from 'node:os';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { RUN_DIR } from '../contract/paths.ts';
import type { LxcfsService } from '../node/lxcfs/service.ts';
import type { LogLevel } from '../observability/log-levels.ts';
import type { Logger } from '../observability/logger.ts';
import { fail, UsageError } from './fail.ts';
import { logLevelOption, readPort } from './flags.ts';
import { keepHeapSmall, restartSavingMemory } from './memory.ts';
import { firstSignal } from './signals.ts';

interface Flags {
  policy?: string;
  runDir: string;
  selinuxContext: string;
  checkEvery: string;
  healthPort?: string;
  logLevel: LogLevel;
  detached?: true;
  check?: true;
}

const HELP = `
Examples:
  hotmount lxcfs --policy policy.yaml
  hotmount lxcfs --check

When the supervisor stops, every lxcfs continues to run.

Exit codes: 0 stopped, or settled (--check); 1 cannot work, or has not settled;
2 wrong usage or a bad file.
`;

/** `hotmount lxcfs`: supervises lxcfs until a signal. Exit codes: 1 where it cannot, 2 for wrong flags and bad files. */
export function lxcfsCommand(): Command {
  return new Command('lxcfs')
    .description('keep lxcfs running, and running containers attached to it')
    .option('--policy <file>', 'policy file, reloaded when it changes (default: the built-in policy)')
    .option('--run-dir <directory>', 'directory that pods mount from', RUN_DIR)
    .option(
      '--selinux-context <context>',
      'SELinux label of files that containers open; auto: the label of container-selinux, off: none',
      'auto',
    )
    .option('--check-every <seconds>', 'how often to check whether lxcfs answers and has been upgraded', '10')
    .option('--health-port <number>', 'plain HTTP port for /readyz; 0: any free port (default: no port)')
    .addOption(logLevelOption())
    .option('--check', 'exit with 0 if the supervisor of this container has settled, else with 1')
    .addOption(new Option('--detached', 'end when another takes over').hideHelp())
    .addHelpText('after', HELP)
    .action(async (flags: Flags, command: Command) => {
      try {
        const port = flags.healthPort === undefined ? undefined : readPort('--health-port', flags.healthPort);
        if (flags.check) await check(flags.runDir);
        else await run(flags, readSeconds(flags.checkEvery), port, flags.logLevel);
      } catch (error) {
        await fail(command, error, 1);
      }
    });
}

function readSeconds(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text) && Number(text) >= 0.1 && Number(text) <= 3600) return Number(text) * 1000;
  throw new UsageError(`--check-every ${text}: expected a number of seconds from 0.1 to 3600`);
}

async function run(
  flags: Flags,
  checkEvery: number,
  healthPort: number | undefined,
  logLevel: LogLevel,
): Promise<void> {
  restartSavingMemory();
  const signalled = firstSignal();
  const [
    { createLogger },
    { exitWithoutThreads },
    { VERSION },
    { openPolicy },
    { readLastPolicy },
    { startLxcfsService },
    { listenForReadiness },
  ] = await Promise.all([
    import('../observability/logger.ts'),
    import('../linux/exit.ts'),
    import('../observability/version.ts'),
    import('./open-policy.ts'),
    import('../node/run-dir/last-policy.ts'),
    import('../node/lxcfs/service.ts'),
    import('../node/lxcfs/readiness.ts'),
  ]);
  const log = createLogger(logLevel);
  exitWithoutThreads();
  let service: LxcfsService | undefined;
  const source = openPolicy(flags.policy, log, { onChange: (policy) => service?.setPolicy(policy.lxcfs) }, () =>
    readLastPolicy(flags.runDir, resolve(flags.policy ?? '')),
  );
  // Who started it may be gone, and nobody at the other end of its terminal: that ends nothing.
  process.on('SIGHUP', () => {});
  hurry(log);
  const initial = source.current();
  const notReady = (): string | undefined => (service ? service.notReady() : 'starting');
  if (healthPort !== undefined) await listenForReadiness(healthPort, notReady);
  const started = await Promise.race([
    startLxcfsService({
      runDir: flags.runDir,
      selinux: flags.selinuxContext,
      policy: initial.lxcfs,
      version: VERSION,
      log,
      checkEvery,
      policySource: flags.policy ?? 'built-in',
      isDetached: flags.detached === true,
    }),
    signalled,
  ]);
  if (typeof started === 'string') {
    log.info({ signal: started }, 'ending in the midst of the start; every lxcfs goes on running');
    process.exit();
  }
  service = started;
  keepHeapSmall();
  // Taking over from another one takes its time.
  if (source.current() !== initial) service.setPolicy(source.current().lxcfs);
  const signal = await Promise.race([signalled, service.ended.then(() => undefined)]);
  if (signal) log.info({ signal }, 'stopping; every lxcfs goes on running');
  // A container in which the worker hangs must not keep this from ending.
  setTimeout(() => process.exit(), 1000).unref();
  source.close();
  await service.close();
  process.exit();
}

/** While another container's supervisor is still the one that answers, this one's is not ready. @throws Error which says what is missing */
async function check(runDir: string): Promise<void> {
  const [{ fetchLxcfsStatus }, { whyNotSettled }, { namespaceOf }] = await Promise.all([
    import('../node/lxcfs/api.ts'),
    import('../node/lxcfs/readiness.ts'),
    import('../linux/namespaces.ts'),
  ]);
  const status = await fetchLxcfsStatus(runDir);
  if (!status) throw new Error(`no hotmount lxcfs is running on ${runDir}`);
  const { supervisor } = status;
  if (namespaceOf(supervisor.pid) !== namespaceOf('self')) {
    throw new Error(`process ${supervisor.pid}, of another container, still supervises ${runDir}`);
  }
  const missing = whyNotSettled(status);
  if (missing !== undefined) throw new Error(missing);
}

/** Idle nearly always; but when it is not, readers on a busy node wait for it. */
function hurry(log: Logger): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGH);
  } catch (error) {
    log.debug({ err: error }, 'running at the usual priority');
  }
}
