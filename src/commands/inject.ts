import { buffer } from 'node:stream/consumers';
import { Command, InvalidArgumentError, Option } from 'commander';
import picocolors from 'picocolors';
import type { Labels } from '../contract/json.ts';
import type { VolumeKind } from '../contract/volumes.ts';
import { fail } from './fail.ts';
import { volumesOption } from './flags.ts';
import { BadInput } from './inject/bad-input.ts';
import { type Evaluated, evaluate } from './inject/evaluate.ts';
import { readInputs } from './inject/inputs.ts';
import { parseManifests } from './inject/manifests.ts';
import { renderAsGiven, renderDiff, renderJson, renderYaml } from './inject/output.ts';
import { isDenied, renderReport } from './inject/report.ts';
import { readPolicy } from './read-policy.ts';

export interface InjectFlags {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly policy?: string;
  readonly namespace?: string;
  readonly namespaceLabels?: Labels;
  readonly volumes?: VolumeKind;
  readonly output?: 'yaml' | 'json' | 'diff';
  readonly explain?: boolean;
  /** undefined: where stdout is a terminal. */
  readonly color?: boolean;
}

/** What the command reads from and writes to. */
export interface Terminal {
  readonly stdin: { readonly isTTY: boolean; readonly read: () => Promise<Buffer> };
  readonly stdout: { readonly isTTY: boolean; readonly write: (text: string) => void };
  readonly stderr: { readonly isTTY: boolean; readonly write: (text: string) => void };
}

const EXAMPLES = `
Examples:
  set -o pipefail; hotmount inject -f deployment.yaml | kubectl apply -f -
      What would be denied is passed on as it came, and applied: only exit code 1, which pipefail hands on, tells of it
  hotmount inject -o diff --policy policy.yaml manifests/
  helm template ./chart | hotmount inject --namespace shop --explain

Exit codes:
  0  done
  1  an object, or the pods of a workload, would be denied: it is written as it came, all others injected
  2  wrong usage or bad input: nothing is written`;

/** `hotmount inject`: manifests in, injected manifests out, as the webhook would inject them. */
export function injectCommand(): Command {
  return new Command('inject')
    .description('inject manifests as the webhook would')
    .argument('[files...]', 'as --filename')
    .option(
      '-f, --filename <file>',
      'a file, a directory (its *.yaml, *.yml and *.json), or - for stdin; repeatable',
      collect,
    )
    .option('-R, --recursive', 'directories with all that is below them')
    .option(
      '--policy <file>',
      'a policy, or the manifest of a ConfigMap that holds it, or - for stdin (default: the built-in one)',
    )
    .option('-n, --namespace <name>', "decide as in this namespace (default: the object's own, else default)")
    .option('--namespace-labels <k=v,...>', 'its labels, besides those that Namespaces in the input have', labels)
    .addOption(volumesOption())
    .addOption(
      new Option('-o, --output <format>', 'a format for all (default: the one that each document has)').choices([
        'yaml',
        'json',
        'diff',
      ]),
    )
    .option('--explain', 'say on stderr what each container gets, by which rule, and what was refused')
    .option('--color', 'colour the diff (default: on a terminal)')
    .option('--no-color', 'no colours, on a terminal either')
    .addHelpText('after', EXAMPLES)
    .action(async (files: readonly string[], flags: InjectFlags, command: Command) => {
      try {
        process.exitCode = await runInject(files, flags, processTerminal());
      } catch (error) {
        await fail(command, error);
      }
    });
}

/** Resolves to the exit code. Rejects with BadInput or PolicyError where there is nothing to write. */
export async function runInject(files: readonly string[], flags: InjectFlags, terminal: Terminal): Promise<number> {
  const { stdin, stdout, stderr } = terminal;
  const named = [...(flags.filename ?? []), ...files];
  if (named.length === 0 && stdin.isTTY) {
    throw new BadInput(['no manifests: name files or directories, or pipe manifests in (hotmount inject --help)']);
  }
  const paths = named.length > 0 ? named : ['-'];
  if (flags.policy === '-' && paths.includes('-')) {
    throw new BadInput(['the policy and the manifests cannot both come from stdin: name a file for one of them']);
  }
  const { policy } = await readPolicy(flags.policy, async () => (await stdin.read()).toString());
  const sources = await readInputs(paths, {
    recursive: flags.recursive ?? false,
    readStdin: stdin.read,
  });
  const parsed = sources.map(parseManifests);
  const problems = parsed.flatMap((one) => one.problems);
  if (problems.length > 0) throw new BadInput(problems);

  const evaluated = evaluate(
    parsed.flatMap(({ manifests }) => manifests),
    { policy, namespace: flags.namespace, namespaceLabels: flags.namespaceLabels, volumes: flags.volumes },
  );
  stdout.write(render(evaluated, flags.output, flags.color ?? stdout.isTTY));
  stderr.write(renderReport(evaluated, flags.explain ?? false, picocolors.createColors(stderr.isTTY)));
  return evaluated.some(({ verdicts }) => verdicts.some(isDenied)) ? 1 : 0;
}

function render(evaluated: readonly Evaluated[], format: InjectFlags['output'], color: boolean): string {
  if (format === 'json') return renderJson(evaluated);
  if (format === 'yaml') return renderYaml(evaluated);
  if (format === 'diff') return renderDiff(evaluated, picocolors.createColors(color));
  return renderAsGiven(evaluated);
}

/** https://no-color.org */
const allowsColor = (stream: { isTTY?: boolean }): boolean => stream.isTTY === true && !process.env['NO_COLOR'];

const processTerminal = (): Terminal => ({
  stdin: { isTTY: process.stdin.isTTY === true, read: () => buffer(process.stdin) },
  stdout: { isTTY: allowsColor(process.stdout), write: (text) => void process.stdout.write(text) },
  stderr: { isTTY: allowsColor(process.stderr), write: (text) => void process.stderr.write(text) },
});

const collect = (file: string, files: readonly string[] = []): readonly string[] => [...files, file];

function labels(text: string, before: Labels = {}): Labels {
  const pairs = text.split(',').filter((pair) => pair.trim() !== '');
  const entries = pairs.map((pair) => {
    const [key, value, ...rest] = pair.split('=').map((part) => part.trim());
    if (!key || value === undefined || rest.length > 0) {
      throw new InvalidArgumentError(`Expected key=value pairs, separated by commas, found ${JSON.stringify(pair)}.`);
    }
    return [key, value];
  });
  return { ...before, ...Object.fromEntries(entries) };
}
