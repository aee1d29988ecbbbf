import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { LXCFS_MODES, type LxcfsMode } from '../contract/lxcfs-modes.ts';
import { KUBELET_DIR, RUN_DIR } from '../contract/paths.ts';
import type { NodeDaemon } from '../node/daemon.ts';
import type { LogLevel } from '../observability/log-levels.ts';
import type { PolicyListener } from '../policy/index.ts';
import { fail } from './fail.ts';
import { logLevelOption, readNumber, readPort } from './flags.ts';
import { keepHeapSmall, restartSavingMemory } from './memory.ts';
import { firstSignal } from './signals.ts';

interface Flags {
  policy?: string;
  runDir: string;
  selinuxContext: string;
  host: string;
  lxcfs: LxcfsMode;
  featureFile?: string;
  devicePlugin?: true;
  kubeletDir: string;
  /** False: `--no-csi`. */
  csi: boolean;
  metricsPort: string;
  eventBuffer: string;
  logLevel: LogLevel;
  cleanup?: true;
}

const HELP = `
Examples:
  hotmount node --policy policy.yaml
  hotmount node --no-csi --lxcfs off            disks and devices, no kubelet
  hotmount node --cleanup                       before uninstalling

Exit codes: 0 stopped by a signal, or cleaned up; 1 cannot work, or could not
clean up everything; 2 wrong usage or a bad file.
`;

/** `hotmount node`: mounts disks until a signal. Exit codes: 1 where it cannot work, or could not clean up, 2 for wrong flags and bad files. */
export function nodeCommand(): Command {
  return new Command('node')
    .description('mount hot-plugged disks into the running pods of this node')
    .option('--policy <file>', 'policy file, reloaded when it changes (default: the built-in policy)')
    .option('--run-dir <directory>', 'directory that pods mount from', RUN_DIR)
    .option(
      '--selinux-context <context>',
      'SELinux label of files that containers open; auto: the label of container-selinux, off: none',
      'auto',
    )
    .addOption(
      new Option('--lxcfs <mode>', 'auto: start hotmount lxcfs, external: another pod runs it, off: no lxcfs')
        .choices(LXCFS_MODES)
        .default('auto'),
    )
    .option(
      '--kubelet-dir <directory>',
      'directory of the kubelet: its pods, and the socket of the CSI driver',
      KUBELET_DIR,
    )
    .option('--no-csi', 'do not serve the CSI driver: for nodes without a kubelet, or with hostPath volumes only')
    .option(
      '--feature-file <file>',
      'write the classes that have something plugged in to this file, in features.d of node-feature-discovery',
    )
    .option(
      '--device-plugin',
      'offer the devices of each class to the kubelet as the extended resource hotmount.io/<class>',
    )
    .option('--host <address>', 'address to listen on; empty: all addresses', '')
    .option('--metrics-port <number>', 'plain HTTP port for /metrics, /healthz and /readyz; 0: any free port', '8081')
    .option('--event-buffer <bytes>', 'size of the kernel buffer for unread events', '16777216')
    .addOption(logLevelOption())
    .option('--cleanup', 'unmount everything, revoke access to devices, remove the run dir, and exit: for uninstalling')
    .addHelpText('after', HELP)
    .action(async (flags: Flags, command: Command) => {
      try {
        const { logLevel } = flags;
        const port = readPort('--metrics-port', flags.metricsPort);
        const receiveBuffer = readNumber('--event-buffer', flags.eventBuffer, { min: 1_000, max: 999_999_999 });
        if (flags.cleanup) await cleanUp(flags, logLevel);
        else await run(flags, flags.lxcfs, port, receiveBuffer, logLevel);
      } catch (error) {
        await fail(command, error, 1);
      }
    });
}

/** The heavy modules are imported here, once it is clear that they are needed: `--help` does without. */
async function run(
  flags: Flags,
  lxcfs: LxcfsMode,
  port: number,
  receiveBuffer: number,
  logLevel: LogLevel,
): Promise<void> {
  restartSavingMemory();
  // A second signal ends it at once, and so does anything that hangs: nothing would be lost.
  const signalled = firstSignal();
  const [
    { createLogger },
    { exitWithoutThreads },
    { VERSION },
    { openPolicy },
    { startNode },
    { readLastPolicy },
    { acquireLeaderLock },
  ] = await Promise.all([
    import('../observability/logger.ts'),
    import('../linux/exit.ts'),
    import('../observability/version.ts'),
    import('./open-policy.ts'),
    import('../node/daemon.ts'),
    import('../node/run-dir/last-policy.ts'),
    import('../node/run-dir/leader-lock.ts'),
  ]);
  const log = createLogger(logLevel);
  exitWithoutThreads();
  const policyFile = flags.policy === undefined ? undefined : resolve(flags.policy);
  let daemon: NodeDaemon | undefined;
  let broken: Error | undefined;
  const listener: PolicyListener = {
    onChange(policy) {
      broken = undefined;
      daemon?.setPolicy(policy, source.text());
    },
    onError(error) {
      broken = error;
      daemon?.policyFailed(error);
    },
  };
  const last = () => (policyFile === undefined ? undefined : readLastPolicy(flags.runDir, policyFile));
  const source = openPolicy(flags.policy, log, listener, last);
  const turn = await Promise.race([
    acquireLeaderLock({ runDir: flags.runDir, selinux: flags.selinuxContext, host: flags.host, port, log }),
    signalled,
  ]);
  if (typeof turn === 'string') {
    log.info({ signal: turn }, 'ending: it was never its turn');
    process.exit();
  }
  const initial = source.current();
  // Whatever a start was in the midst of, the next one finds and completes.
  const started = await Promise.race([
    startNode({
      runDir: flags.runDir,
      selinux: flags.selinuxContext,
      policy: initial,
      policyText: source.text(),
      policySource: flags.policy ?? 'built-in',
      policyFile,
      featureFile: flags.featureFile,
      devicePluginDir: devicePluginDirOf(flags),
      lxcfs,
      kubeletDir: kubeletDirOf(flags),
      host: flags.host,
      port,
      receiveBuffer,
      version: VERSION,
      log,
    }),
    signalled,
  ]);
  if (typeof started === 'string') {
    log.info({ signal: started }, 'ending in the midst of the start');
    process.exit();
  }
  daemon = started;
  if (source.current() !== initial) daemon.setPolicy(source.current(), source.text());
  if (broken) daemon.policyFailed(broken);
  log.info({ metricsPort: daemon.port, policy: flags.policy ?? 'built-in', version: VERSION }, 'serving');
  keepHeapSmall();

  const signal = await Promise.race([signalled, daemon.failed]);
  log.info({ signal }, 'stopping; what is mounted stays');
  source.close();
  await daemon.close();
  turn();
  // Not waiting for children of disks that hang.
  process.exit();
}

const kubeletDirOf = ({ csi, kubeletDir }: Flags): string | undefined => (csi ? resolve(kubeletDir) : undefined);

const devicePluginDirOf = ({ devicePlugin, kubeletDir }: Flags): string | undefined =>
  devicePlugin ? resolve(kubeletDir) : undefined;

async function cleanUp(flags: Flags, logLevel: LogLevel): Promise<void> {
  const [{ createLogger }, { exitWithoutThreads }, cleanup, { removeFeatureFile }] = await Promise.all([
    import('../observability/logger.ts'),
    import('../linux/exit.ts'),
    import('../node/cleanup.ts'),
    import('../node/feature-file.ts'),
  ]);
  const log = createLogger(logLevel);
  exitWithoutThreads();
  if (flags.featureFile !== undefined) removeFeatureFile(flags.featureFile);
  process.exit((await cleanup.cleanUp(flags.runDir, kubeletDirOf(flags) ?? devicePluginDirOf(flags), log)) ? 0 : 1);
}
