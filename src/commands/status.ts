import { Command, Option } from 'commander';
import { RUN_DIR } from '../contract/paths.ts';
import type { LeftBehind, NodeStatus } from '../node/status.ts';
import { formatLeftBehind, formatStatus } from './status/format.ts';

interface Flags {
  runDir: string;
  output: string;
}

const HELP = `
Examples:
  hotmount status
  hotmount status -o json | jq .mounted         a NodeStatus: docs/kubectl.md
  kubectl hotmount status                       the same of all nodes

Exit codes: 0 all is well; 1 no daemon is running, or it is not ready; 2 wrong
usage.
`;

const NEXT_STEPS =
  'Start it (hotmount node), or see why its pod does not run (kubectl -n hotmount-system get pods); ' +
  '--run-dir names another run dir, and kubectl hotmount status asks all nodes';

/**
 * `hotmount status`: what the daemon of this node has mounted, and why not the rest. Exit code 1 where none is running (then
 * what the kernel knows is shown), or not well.
 */
export function statusCommand(): Command {
  return new Command('status')
    .description('show what hotmount does on this node, what it left alone, and why')
    .option('--run-dir <directory>', 'the run dir of the daemon', RUN_DIR)
    .addOption(new Option('-o, --output <format>', 'what to print').choices(['table', 'json']).default('table'))
    .addHelpText('after', HELP)
    .action(async ({ runDir, output }: Flags, command: Command) => {
      const { fetchStatus } = await import('../node/server.ts');
      let status: NodeStatus | undefined;
      let problem = `no hotmount node is running on ${runDir}: what is mounted there stays as it is until one is. ${NEXT_STEPS}`;
      try {
        status = await fetchStatus(runDir);
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (code === 'EACCES')
          command.error(`error: the daemon of ${runDir} answers root alone: run it as root`, { exitCode: 1 });
        problem = `the daemon of ${runDir} did not answer: ${message}`;
      }
      if (status) {
        process.stdout.write(output === 'json' ? json(status) : formatStatus(status, new Date()));
        if (!status.daemon.ready) process.exitCode = 1;
        return;
      }
      try {
        const { readLeftBehind } = await import('../node/status.ts');
        const left = readLeftBehind(runDir);
        process.stdout.write(output === 'json' ? json(left) : formatLeftBehind(left, new Date()));
      } catch (error) {
        problem += `; and what is mounted cannot be read: ${(error as Error).message}`;
      }
      command.error(`error: ${problem}`, { exitCode: 1 });
    });
}

/** Fields may be added to a version; those that are there stay. */
const NODE_STATUS = { apiVersion: 'hotmount.io/v1alpha1', kind: 'NodeStatus' };

const json = (value: NodeStatus | LeftBehind): string => `${JSON.stringify({ ...NODE_STATUS, ...value }, null, 2)}\n`;
