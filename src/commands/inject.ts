import { buffer } from 'node:stream/consumers';
import { Command, InvalidArgumentError, Option } from 'commander';
import picocolors from 'picocolors';
import type { Labels } from '../contract/json.ts';
import type { VolumeKind } from '../contract/volumes.ts';
import { allowsColor } from './color.ts';
import { fail, UsageError } from './fail.ts';
import { volumesOption } from './flags.ts';
import { asksUnder } from './inject/asks.ts';
import { BadInput } from './inject/bad-input.ts';
import { cut, type Document, mayHaveObjects } from './inject/documents.ts';
import { type EvaluateOptions, evaluate } from './inject/evaluate.ts';
import { findInputs, type InputFile } from './inject/inputs.ts';
import { isTooDeep, placeOf, readManifests, TOO_DEEP } from './inject/manifests.ts';
import { asDiff, asGiven, asJson, asYaml, type Chunk, InexactError, type Output } from './inject/output.ts';
import { Report } from './inject/report.ts';
import { survey } from './inject/survey.ts';
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

/** What the command reads from and writes to. A write is awaited before the next. */
export interface Terminal {
  readonly stdin: { readonly isTTY: boolean; readonly read: () => Promise<Buffer> };
  readonly stdout: { readonly isTTY: boolean; readonly write: (chunk: string | Buffer) => unknown };
  readonly stderr: { readonly isTTY: boolean; readonly write: (text: string) => unknown };
}

const EXAMPLES = `
Examples:
  set -o pipefail; hotmount inject -f deployment.yaml | kubectl apply -f -
      Objects that would be denied are applied unchanged; with pipefail, the
      exit code 1 tells you
  hotmount inject -o diff --policy policy.yaml manifests/
  helm template ./chart | hotmount inject --namespace shop --explain

Exit codes:
  0  done
  1  an object, or the pods of a workload, would be denied: it is written as it
     came, all others injected
  2  wrong usage: nothing is written; or a document that asks for hotmount, or
     an object in it, cannot be read: it is written as it came (left out with
     -o json), all others injected
  3  the output cannot be written`;

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
    .option(
      '-n, --namespace <name>',
      "decide as in this namespace (default: the object's own, else default)",
      namespace,
    )
    .option('--namespace-labels <k=v,...>', 'its labels, besides those that Namespaces in the input have', labels)
    .addOption(volumesOption())
    .addOption(
      new Option('-o, --output <format>', 'a format for all (default: the one that each document has)').choices([
        'yaml',
        'json',
        'diff',
      ]),
    )
    .option(
      '--explain',
      'say on stderr what each container gets, by which rule, and what was refused; with -o json, as JSON lines',
    )
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
    throw new UsageError('no manifests: name files or directories, or pipe manifests in (hotmount inject --help)');
  }
  const paths = named.length > 0 ? named : ['-'];
  if (flags.policy === '-' && paths.includes('-')) {
    throw new UsageError('the policy and the manifests cannot both come from stdin: name a file for one of them');
  }
  const { policy } = await readPolicy(flags.policy, async () => (await stdin.read()).toString());
  const inputs = await findInputs(paths, { recursive: flags.recursive ?? false, readStdin: stdin.read });
  const { namespaceLabels: known, hasYaml } = survey(inputs);
  const explained = flags.explain ?? false;
  const report = new Report({
    explained,
    json: explained && flags.output === 'json',
    leavesOut: flags.output === 'json',
    paint: picocolors.createColors(stderr.isTTY),
  });
  const injector: Injector = {
    asks: asksUnder(policy),
    options: {
      policy,
      namespace: flags.namespace,
      namespaceLabels: flags.namespaceLabels,
      volumes: flags.volumes,
      known,
    },
    output: outputFor(flags.output, hasYaml, flags.color ?? stdout.isTTY),
    explained,
    report,
  };
  const out = inPages(stdout.write);
  // One document after the other, so that memory follows the largest file.
  for (const input of inputs) {
    const { documents, problems } = documentsOf(input);
    if (problems !== '') await stderr.write(report.unopened(problems));
    else if (!mayHaveObjects(documents) && !documents.some(({ text }) => injector.asks(text))) {
      await stderr.write(report.noObjects(input.name));
    }
    for (const document of documents) {
      const { chunks, said } = injectDocument(document, injector);
      for (const chunk of chunks) await out.write(chunk);
      if (said === '') continue;
      // On a terminal, what is said of a document comes after it.
      await out.flush();
      await stderr.write(said);
    }
  }
  await out.write(injector.output.end());
  await out.flush();
  await stderr.write(report.end());
  return report.errors > 0 ? 2 : report.denied > 0 ? 1 : 0;
}

interface Injector {
  readonly asks: (text: string) => boolean;
  readonly options: EvaluateOptions;
  readonly output: Output;
  readonly explained: boolean;
  readonly report: Report;
}

function injectDocument(document: Document, injector: Injector): { chunks: readonly Chunk[]; said: string } {
  const { options, output, explained, report } = injector;
  const mustBeRead = output.converts(document.format) || injector.asks(document.text);
  if (!mustBeRead && !explained) return { chunks: [output.untouched(document)], said: '' };
  // What would only be explained is no problem of anybody's.
  const leave = (problems: readonly string[]) => ({
    chunks: [output.untouched(document)],
    said: mustBeRead ? report.problems(problems) : '',
  });
  const { manifests, problems } = readManifests(document);
  if (problems.length > 0) return leave(problems);
  try {
    const evaluated = manifests.map((manifest) => evaluate(manifest, options));
    const chunks = evaluated.map(output.evaluated);
    return { chunks, said: evaluated.map((one) => report.evaluated(one)).join('') };
  } catch (error) {
    if (error instanceof InexactError) return leave([error.message]);
    if (isTooDeep(error)) return leave([`${placeOf(document.source, document.offset)}: ${TOO_DEEP}`]);
    throw error;
  }
}

function documentsOf(input: InputFile): { documents: readonly Document[]; problems: string } {
  try {
    return { documents: cut(input.read()), problems: '' };
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    return { documents: [], problems: error.message };
  }
}

function outputFor(format: InjectFlags['output'], hasYaml: boolean, color: boolean): Output {
  if (format === 'json') return asJson();
  if (format === 'yaml') return asYaml();
  if (format === 'diff') return asDiff(picocolors.createColors(color));
  return asGiven(hasYaml);
}

const PAGE = 64 * 1024;

/** Few writes for many small documents. */
function inPages(write: (chunk: string | Buffer) => unknown) {
  let page = '';
  const flush = async () => {
    const text = page;
    page = '';
    if (text !== '') await write(text);
  };
  return {
    flush,
    write: async (chunk: Chunk) => {
      if (typeof chunk === 'string') page += chunk;
      if (typeof chunk !== 'string' || page.length >= PAGE) await flush();
      if (typeof chunk !== 'string') await write(chunk);
    },
  };
}

const processTerminal = (): Terminal => ({
  stdin: { isTTY: process.stdin.isTTY === true, read: () => buffer(process.stdin) },
  stdout: { isTTY: allowsColor(process.stdout), write: writeTo(process.stdout) },
  stderr: { isTTY: allowsColor(process.stderr), write: writeTo(process.stderr) },
});

/** Resolves when it is written. Errors are the program's as a whole (main.ts). */
const writeTo = (stream: NodeJS.WritableStream) => (chunk: string | Buffer) =>
  new Promise<void>((resolve) => {
    stream.write(chunk, () => resolve());
  });

const collect = (file: string, files: readonly string[] = []): readonly string[] => [...files, file];

function namespace(text: string): string {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text)) return text;
  throw new InvalidArgumentError('Expected the name of a namespace: at most 63 of a-z, 0-9 and "-".');
}

function labels(text: string, before: Labels = {}): Labels {
  const pairs = text.split(',').filter((pair) => pair.trim() !== '');
  const entries = pairs.map((pair) => {
    const [key, value, ...rest] = pair.split('=').map((part) => part.trim());
    if (!key || value === undefined || rest.length > 0) {
      throw new InvalidArgumentError(`Expected key=value pairs, separated by commas, found ${JSON.stringify(pair)}.`);
    }
    if (!LABEL_KEY.test(key) || !LABEL_VALUE.test(value)) {
      throw new InvalidArgumentError(`${JSON.stringify(pair)} cannot be a label of a namespace.`);
    }
    return [key, value];
  });
  return { ...before, ...Object.fromEntries(entries) };
}

/** apimachinery, IsQualifiedName and IsValidLabelValue. */
const NAME = '[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';
const LABEL_KEY = new RegExp(`^(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?${NAME}$`);
const LABEL_VALUE = new RegExp(`^(?:${NAME})?$`);
