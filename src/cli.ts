#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import packageJson from '../package.json' with { type: 'json' };

/** Imported only when they run: `hotmount inject` does not wait for the web server's modules to load. */
const COMMANDS: Readonly<Record<string, { description: string; load: () => Promise<Command> }>> = {
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
  status: {
    description: 'show which disks are mounted on this node, and why others are not',
    load: async () => (await import('./commands/status.ts')).statusCommand(),
  },
  monitor: {
    description: 'print kernel device events as they come, with what each means to the policy',
    load: async () => (await import('./commands/monitor.ts')).monitorCommand(),
  },
};

// A reader that has seen enough, such as `head`, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

const program = new Command(packageJson.name)
  .description(packageJson.description)
  .version(packageJson.version)
  .exitOverride();

const words = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const named = words[0] === 'help' ? words[1] : words[0];
for (const [name, { description, load }] of Object.entries(COMMANDS)) {
  if (name === named) program.addCommand((await load()).copyInheritedSettings(program));
  else program.command(name).description(description);
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
  if (!(error instanceof CommanderError)) {
    process.stderr.write(`hotmount: unexpected error: ${error instanceof Error ? error.message : error}\n`);
  }
}

/** `command.error()` gives its own; everything else that commander stops for is wrong usage, or help that was asked for. */
function exitCodeOf(error: unknown): number {
  if (!(error instanceof CommanderError)) return 1;
  if (error.code === 'commander.error' || error.exitCode === 0) return error.exitCode;
  return 2;
}
