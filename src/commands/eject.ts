import { Command } from 'commander';
import { RUN_DIR } from '../contract/paths.ts';
import { printable } from '../contract/text.ts';

const HELP = `
Examples:
  hotmount eject sdb                            the disk, with all partitions
  kubectl hotmount eject node-1/sdb             from elsewhere

Exit codes: 0 it can be pulled; 1 it cannot, or no daemon is running; 2 wrong
usage.
`;

/**
 * `hotmount eject`: has the daemon of this node unmount a disk everywhere, so that it can be pulled. Exit code 1 where it could not, or
 * somebody still has files of it open.
 */
export function ejectCommand(): Command {
  return new Command('eject')
    .description('unmount a disk everywhere, and leave it alone until it is plugged in anew')
    .argument('<disk>', 'its name, as in hotmount status: sdb with all its partitions, or sdb1 alone')
    .option('--run-dir <directory>', 'the run dir of the daemon', RUN_DIR)
    .addHelpText('after', HELP)
    .action(async (disk: string, { runDir }: { runDir: string }, command: Command) => {
      const { requestEjection } = await import('../node/server.ts');
      const answer = await requestEjection(runDir, disk.replace(/^\/dev\//, '')).catch((error: Error) =>
        command.error(`error: ${error.message}`, { exitCode: 1 }),
      );
      if (!answer) {
        command.error(`error: no hotmount node is running on ${runDir}: unmount it by umount(8)`, { exitCode: 1 });
      }
      for (const { disk: name, problem } of answer.disks) {
        process.stderr.write(`${printable(name)}: ${printable(problem ?? 'unmounted: it can be pulled')}\n`);
        if (problem !== undefined) process.exitCode = 1;
      }
    });
}
