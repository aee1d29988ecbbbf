import { isUtf8 } from 'node:buffer';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileProblem } from '../../files/index.ts';
import { BadInput } from './bad-input.ts';

/** The text of one file, or of standard input. */
export interface Source {
  /** As messages name it. */
  readonly name: string;
  readonly text: string;
}

export interface InputOptions {
  /** Directories with everything below them. */
  readonly recursive: boolean;
  readonly readStdin: () => Promise<Buffer>;
}

const STDIN = '-';
const EXTENSIONS = ['.yaml', '.yml', '.json'];

/** Reads files, the manifests in directories (sorted by name), and `-`, in the order given. Throws BadInput with all problems at once. */
export async function readInputs(paths: readonly string[], options: InputOptions): Promise<Source[]> {
  const problems: string[] = [];
  const sources: Source[] = [];
  for (const path of paths) {
    try {
      for (const file of await filesOf(path, options.recursive)) sources.push(await readSource(file, options));
    } catch (error) {
      problems.push(problemOf(error, path));
    }
  }
  if (problems.length > 0) throw new BadInput(problems);
  return sources;
}

async function filesOf(path: string, recursive: boolean): Promise<string[]> {
  if (path === STDIN || !(await stat(path)).isDirectory()) return [path];
  const names = (await readdir(path, { recursive })).filter((name) => EXTENSIONS.some((end) => name.endsWith(end)));
  const paths = names.sort().map((name) => join(path, name));
  // A directory may be called `x.yaml`, and mounted ConfigMaps are symlinks.
  const isDirectory = await Promise.all(paths.map(async (file) => (await stat(file)).isDirectory()));
  const files = paths.filter((_, i) => !isDirectory[i]);
  if (files.length > 0) return files;
  const remedy = recursive ? '' : '; --recursive looks into its subdirectories too';
  throw new BadInput([`${path}: the directory has no *.yaml, *.yml or *.json files${remedy}`]);
}

async function readSource(path: string, options: InputOptions): Promise<Source> {
  const name = path === STDIN ? 'stdin' : path;
  const bytes = path === STDIN ? await options.readStdin() : await readFile(path);
  // Anything else would not come out as it went in.
  if (!isUtf8(bytes)) throw new BadInput([`${name}: the text is not UTF-8; convert it first, with iconv for example`]);
  return { name, text: bytes.toString('utf8') };
}

/** One line for an error of the file system; anything unexpected is thrown on. */
function problemOf(error: unknown, path: string): string {
  if (error instanceof BadInput) return error.message;
  if (error instanceof Error && 'errno' in error && typeof error.errno === 'number') {
    const file = 'path' in error && typeof error.path === 'string' ? error.path : path;
    return `${file}: ${fileProblem(error)}`;
  }
  throw error;
}
