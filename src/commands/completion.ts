import { Argument, Command } from 'commander';
import { COLOR_MODES } from './color.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

const HELP = `
Examples:
  source <(hotmount completion bash)            in ~/.bashrc
  source <(hotmount completion zsh)             in ~/.zshrc, after compinit
  hotmount completion fish > ~/.config/fish/completions/hotmount.fish

Exit codes: 0 done; 2 wrong usage.
`;

/** `hotmount completion`: a script that completes commands, flags and their values. @param load the commands, with their flags */
export function completionCommand(load: () => Promise<readonly Command[]>): Command {
  return new Command('completion')
    .description('print a script by which a shell completes commands and flags')
    .addArgument(new Argument('<shell>', 'what runs the script').choices(SHELLS))
    .addHelpText('after', HELP)
    .action(async (shell: Shell) => {
      process.stdout.write(completionScript(shell, await load()));
    });
}

/** What can be written after some words. */
interface Place {
  /** The words before, without the program's name: `policy check`. */
  readonly path: string;
  readonly commands: readonly Word[];
  /** Of the first argument. Empty: files. */
  readonly values: readonly string[];
  readonly flags: readonly Flag[];
}

interface Word {
  readonly name: string;
  readonly description: string;
}

interface Flag extends Word {
  /** `--policy`, and `-f` where there is a short one. */
  readonly names: readonly string[];
  readonly takesValue: boolean;
  /** Empty: files. */
  readonly choices: readonly string[];
}

/** The script for a shell, for commands as they stand. Pure. */
export function completionScript(shell: Shell, commands: readonly Command[]): string {
  const top: Place = { path: '', commands: commands.map(wordOf), values: [], flags: EVERYWHERE };
  const places = [top, ...commands.flatMap((command) => placesOf(command, command.name()))];
  return { bash, zsh, fish }[shell](places);
}

/** Of every command. */
const EVERYWHERE: readonly Flag[] = [
  {
    name: '--color',
    names: ['--color'],
    description: 'always, never or auto: on a terminal',
    takesValue: true,
    choices: COLOR_MODES,
  },
  { name: '--help', names: ['--help', '-h'], description: 'display help', takesValue: false, choices: [] },
];

function placesOf(command: Command, path: string): Place[] {
  const flags = command.options
    .filter(({ hidden }) => !hidden)
    .map(({ long, short, description, required, argChoices }) => ({
      name: long ?? short ?? '',
      names: [long, short].flatMap((name) => name ?? []),
      description,
      takesValue: required,
      choices: argChoices ?? [],
    }));
  const values = command.registeredArguments[0]?.argChoices ?? [];
  const place = { path, commands: command.commands.map(wordOf), values, flags: [...flags, ...EVERYWHERE] };
  return [place, ...command.commands.flatMap((child) => placesOf(child, `${path} ${child.name()}`))];
}

const wordOf = (command: Command): Word => ({ name: command.name(), description: command.description() });

/** For all three: the words so far that are names of commands are the place. Flags' values could be taken for one; none is called so. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function bash(places: readonly Place[]): string {
  const words = ({ commands, values }: Place) => [...commands.map(({ name }) => name), ...values].join(' ');
  const flagNames = ({ flags }: Place) => flags.map(({ name }) => name).join(' ');
  const choices = places.flatMap(({ path, flags }) =>
    flags
      .filter(({ takesValue }) => takesValue)
      .map((flag) => {
        const keys = flag.names.map((name) => quoted(`${path} ${name}`)).join('|');
        return `    ${keys}) words=${quoted(flag.choices.join(' '))} ;;`;
      }),
  );
  return `# bash completion of hotmount: source <(hotmount completion bash)
_hotmount() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} place='' words='' word
  # The = of --flag=value is a word of its own.
  [[ $cur == = ]] && cur=''
  [[ $prev == = ]] && prev=\${COMP_WORDS[COMP_CWORD - 2]}
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    case " ${places.map(({ path }) => path.replaceAll(' ', '/')).join(' ')} " in
      *" \${place:+$place/}$word "*) place=\${place:+$place/}$word ;;
    esac
  done
  place=\${place//\\// }
  case "$place $prev" in
${choices.join('\n')}
    *)
      # Without words to offer, bash offers files.
      case "$place \${cur:0:1}" in
${places.map((place) => `        ${quoted(`${place.path} -`)}) words=${quoted(flagNames(place))} ;;`).join('\n')}
      esac
      [[ $cur == -* ]] || case "$place" in
${places.map((place) => `        ${quoted(place.path)}) words=${quoted(words(place))} ;;`).join('\n')}
      esac
      ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _hotmount hotmount
`;
}

const valueWord = (name: string): Word => ({ name, description: name });

function zsh(places: readonly Place[]): string {
  const described = ({ name, description }: Word): string => quoted(`${name.replaceAll(':', '\\:')}:${description}`);
  const choices = places.flatMap(({ path, flags }) =>
    flags
      .filter(({ takesValue }) => takesValue)
      .map((flag) => {
        const keys = flag.names.map((name) => quoted(`${path} ${name}`)).join('|');
        const action = flag.choices.length > 0 ? `compadd -- ${flag.choices.map(quoted).join(' ')}` : '_files';
        return `    ${keys}) ${action}; return ;;`;
      }),
  );
  return `#compdef hotmount
# zsh completion of hotmount: source <(hotmount completion zsh)
_hotmount() {
  local place='' word
  local -a found
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "\${place:+$place }$word" in
      ${places.map(({ path }) => quoted(path)).join('|')}) place="\${place:+$place }$word" ;;
    esac
  done
  case "$place \${words[CURRENT-1]}" in
${choices.join('\n')}
  esac
  case "$place" in
${places.map((place) => `    ${quoted(place.path)}) found=(${[...place.commands, ...place.values.map(valueWord), ...place.flags].map(described).join(' ')}) ;;`).join('\n')}
  esac
  _describe hotmount found
  [[ -n $place ]] && _files
}
(( $+functions[compdef] )) && compdef _hotmount hotmount
`;
}

function fish(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, commands, values, flags }) => {
    const at = `-n ${quoted(`__hotmount_at ${path}`)}`;
    return [
      ...commands.map(({ name, description }) => `complete -c hotmount -f ${at} -a ${name} -d ${quoted(description)}`),
      ...(values.length > 0 ? [`complete -c hotmount -f ${at} -a ${quoted(values.join(' '))}`] : []),
      ...flags.map(({ names, description, takesValue, choices }) => {
        const words = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
        const value = choices.length > 0 ? ` -x -a ${quoted(choices.join(' '))}` : takesValue ? ' -r' : '';
        return `complete -c hotmount ${at} ${words.join(' ')}${value} -d ${quoted(description)}`;
      }),
    ];
  });
  return `# fish completion of hotmount
function __hotmount_at
    set -l place
    for word in (commandline -opc)[2..]
        contains -- (string join -- ' ' $place $word) ${places.map(({ path }) => quoted(path)).join(' ')}; and set -a place $word
    end
    test "$place" = "$argv"
end
${lines.join('\n')}
`;
}
