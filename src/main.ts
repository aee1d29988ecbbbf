import { basename } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { Command, CommanderError, Option } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import { setColorMode, takeColor } from './commands/color.ts';
import { helpWordsToFlag } from './commands/help-words.ts';
import { whatIsMissing } from './commands/missing.ts';
import { endLogs, endLogsSync } from './observability/last-words.ts';
import { FULL_VERSION } from './observability/version.ts';

/** The exit code where the output cannot be written: 1 and 2 are the commands' own. */
const UNWRITABLE = 3;

/** Imported only when they run: `hotmount inject` does not wait for the web server's modules to load. */
const COMMANDS = {
  webhook: {
    description: 'serve the admission webhook that injects annotated pods',
    load: async () => (await import('./commands/webhook.ts')).webhookCommand(),
  },
  inject: {
    description: 'inject manifests as the webhook would',
    load: async () => (await import('./commands/inject.ts')).injectCommand(),
  },
  node: {
    description: 'mount hot-plugged disks into the running pods of this node',
    load: async () => (await import('./commands/node.ts')).nodeCommand(),
  },
  lxcfs: {
    description: 'keep lxcfs running, and running containers attached to it',
    load: async () => (await import('./commands/lxcfs.ts')).lxcfsCommand(),
  },
  status: {
    description: 'show what hotmount does on this node, what it left alone, and why',
    load: async () => (await import('./commands/status.ts')).statusCommand(),
  },
  eject: {
    description: 'unmount a disk everywhere, and leave it alone until it is plugged in anew',
    load: async () => (await import('./commands/eject.ts')).ejectCommand(),
  },
  monitor: {
    description: 'print kernel device events as they come, and what the policy makes of each',
    load: async () => (await import('./commands/monitor.ts')).monitorCommand(),
  },
  policy: {
    description: 'work with the policy: who may ask for what',
    load: async () => (await import('./commands/policy.ts')).policyCommand(),
  },
  kubectl: {
    description: 'the cluster at a glance; installed as kubectl-hotmount: kubectl hotmount',
    load: async () => (await import('./commands/kubectl.ts')).kubectlCommand(),
  },
  completion: {
    description: 'print a script by which a shell completes commands and flags',
    load: async () => (await import('./commands/completion.ts')).completionCommand(loadAll),
  },
  demo: {
    description: 'show what the webhook makes of the manifests in examples/, without a cluster',
    load: async () => (await import('./commands/demo.ts')).demoCommand(),
  },
} satisfies Readonly<Record<string, { description: string; load: () => Promise<Command> }>>;

const HELP = `
Examples:
  hotmount demo                                 what it is, in a minute
  hotmount inject -o diff deployment.yaml       what would become of a manifest
  kubectl hotmount status                       what a cluster has plugged in

Exit codes: 0 done; 1 refused, or the job failed; 2 wrong usage or bad input;
3 the output cannot be written. Each command says more with --help.
`;

/** `kubectl hotmount` runs the program of that name. */
const isPlugin = basename(process.argv[1] ?? '').startsWith('kubectl-hotmount');

/** All but the one that asks. */
const loadAll = (): Promise<Command[]> =>
  Promise.all(Object.entries(COMMANDS).map(([name, { load }]) => (name === 'completion' ? new Command(name) : load())));

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // A reader that has seen enough, such as `head`, is no error.
  if (error.code === 'EPIPE') process.exit();
  process.stderr.write(`error: the output cannot be written: ${reasonOf(error)}\n`);
  process.exit(UNWRITABLE);
});
// There is nobody left to tell.
process.stderr.on('error', () => {});

// A defect. Whoever starts a daemon again has one that looks at everything once more; one that goes on after this may do harm.
process.on('uncaughtException', (error) => {
  endLogsSync();
  const text = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error && error.stack ? `${error.stack}\n` : '';
  process.stderr.write(`${stack}error: unexpected: ${text}\n`);
  process.exit(1);
});

try {
  await run(process.argv.slice(2));
} catch (error) {
  const missing = whatIsMissing(error);
  if (missing !== undefined) {
    process.stderr.write(`error: ${missing}\n`);
    process.exit(1);
  }
  if (!(error instanceof CommanderError)) {
    const text = error instanceof Error ? (process.env['HOTMOUNT_DEBUG'] ? error.stack : error.message) : String(error);
    await endLogs();
    process.stderr.write(`error: unexpected: ${text} (HOTMOUNT_DEBUG=1 shows where)\n`);
  }
  process.exitCode = exitCodeOf(error);
  // What cannot be written is told of only now.
  await new Promise((resolve) => setImmediate(resolve));
  // What it has begun, such as servers that listen, must not keep a process alive that does not do its job.
  process.exit(exitCodeOf(error));
}

async function run(given: readonly string[]): Promise<void> {
  const program = new Command(packageJson.name)
    .description(packageJson.description)
    .version(FULL_VERSION)
    .option('--color [when]', 'always, never or auto: on a terminal')
    .addHelpText('after', HELP)
    .configureOutput({
      outputError: (text, write) => write(withHelpNamed(text)),
      getOutHelpWidth: () => process.stdout.columns ?? (Number(process.env['COLUMNS']) || 80),
    })
    // By itself, commander folds nothing where descriptions have less than 40 columns.
    .configureHelp({ minWidthToWrap: 16 })
    .exitOverride();
  const color = takeColor(given);
  if ('problem' in color) return program.error(`error: ${color.problem}`, { exitCode: 2 });
  setColorMode(color.mode);
  const args = color.rest;
  if (isPlugin) {
    const plugin = withSettingsOf(program, await COMMANDS.kubectl.load());
    plugin.name('kubectl hotmount').version(FULL_VERSION);
    await plugin.parseAsync(helpWordsToFlag(args, plugin), { from: 'user' });
    return;
  }
  const named = args.find((arg) => !arg.startsWith('-') && arg !== 'help');
  for (const [name, { description, load }] of Object.entries(COMMANDS)) {
    if (name === named) program.addCommand(withSettingsOf(program, await load()));
    else program.command(name).description(description);
  }
  await program.parseAsync(helpWordsToFlag(args, program), { from: 'user' });
}

/** Where commander has no near match to offer. */
function withHelpNamed(text: string): string {
  const isBare = /^error: unknown command '.*'\n$/.test(text);
  return isBare ? `${text.trimEnd()} (--help lists those there are)\n` : text;
}

/** For the commands of commands, too: without them, commander ends the process itself, with 1. */
function withSettingsOf(parent: Command, command: Command): Command {
  // Read before, wherever it stands: this is for the help.
  command.addOption(new Option('--color [when]', 'always, never or auto: on a terminal'));
  command.copyInheritedSettings(parent);
  for (const child of command.commands) withSettingsOf(command, child);
  return command;
}

/** `no space left on device (ENOSPC)` */
function reasonOf({ errno, code, message }: NodeJS.ErrnoException): string {
  return errno === undefined ? message : `${getSystemErrorMessage(errno)} (${code})`;
}

/** `command.error()` gives its own; everything else that commander stops for is wrong usage, or help that was asked for. */
function exitCodeOf(error: unknown): number {
  if (!(error instanceof CommanderError)) return 1;
  if (error.code === 'commander.error' || error.exitCode === 0) return error.exitCode;
  return 2;
}
