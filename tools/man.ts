import { globSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import packageJson from '../package.json' with { type: 'json' };

/** All commands of src/commands, as the program has them, by their names. */
export async function loadCommands(): Promise<Command[]> {
  const directory = join(import.meta.dirname, '../src/commands');
  const files = globSync('*.ts', { cwd: directory }).sort();
  const modules: Record<string, unknown>[] = await Promise.all(files.map((file) => import(join(directory, file))));
  const makers = modules.flatMap((module) => Object.entries(module)).filter(([name]) => name.endsWith('Command'));
  return makers.map(([, make]) => (make as (load: () => Promise<Command[]>) => Command)(async () => []));
}

/** What `--help` prints, without colours, for 80 columns. */
export function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
    getOutHelpWidth: () => 80,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return text;
}

/** hotmount(1): the help of every command. */
export function manPage(commands: readonly Command[]): string {
  const program = new Command(packageJson.name).description(packageJson.description);
  for (const command of commands) program.addCommand(command);
  const every = (command: Command): Command[] => [command, ...command.commands.flatMap(every)];
  const sections = program.commands.flatMap(every).map((command) => {
    const [usage = '', ...rest] = helpOf(command).trim().split('\n');
    return `.SS ${roff(usage.replace('Usage: ', ''))}\n.nf\n${roff(rest.join('\n').trim())}\n.fi`;
  });
  return `.TH HOTMOUNT 1 "" "hotmount ${packageJson.version}" "User Commands"
.SH NAME
hotmount \\- ${roff(packageJson.description)}
.SH COMMANDS
${sections.join('\n')}
`;
}

/** Text that troff leaves as it is (groff(7), Escape sequences). */
const roff = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/gm, '\\&');
