import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileProblem } from '../../files/index.ts';
import { BadInput } from './bad-input.ts';

/** The text of one file, or of standard input. */
export interface Source {
  /** As messages name it. */
  readonly name: string;
  readonly text: string;
  /** The bytes of the file are no UTF-8, and `text` has a character for each. */
  readonly encoding?: 'latin1';
  /** Why no document in it can be read, and what to do. */
  readonly unreadable?: string;
}

export interface InputFile {
  readonly name: string;
  /** May be called again: what is not a regular file is read once and kept. Throws BadInput. */
  readonly read: () => Source;
}

export interface InputOptions {
  /** Directories with everything below them. */
  readonly recursive: boolean;
  readonly readStdin: () => Promise<Buffer>;
}

const STDIN = '-';
const EXTENSIONS = ['.yaml', '.yml', '.json'];
/** Characters of small files that are kept, so that they need not be read twice. */
const KEPT = 8 * 1024 * 1024;

/** Finds files, the manifests in directories (sorted by name), and `-`, in the order given. Throws BadInput with all problems at once. */
export async function findInputs(paths: readonly string[], options: InputOptions): Promise<InputFile[]> {
  const problems: string[] = [];
  const inputs: InputFile[] = [];
  const budget = { left: KEPT };
  for (const path of paths) {
    try {
      inputs.push(...(await inputsAt(path, options, budget)));
    } catch (error) {
      problems.push(problemOf(error, path));
    }
  }
  if (problems.length > 0) throw new BadInput(problems);
  return inputs;
}

interface Budget {
  left: number;
}

async function inputsAt(path: string, { recursive, readStdin }: InputOptions, budget: Budget): Promise<InputFile[]> {
  if (path === STDIN) {
    const bytes = await readStdin();
    return [kept('stdin', () => decode('stdin', bytes))];
  }
  if (path === '') throw new BadInput(['"": the name of a file is missing']);
  if (/^https?:\/\//.test(path))
    throw new BadInput([`${path}: URLs are not fetched: curl -fsSL ${path} | hotmount inject`]);
  const stats = await stat(path);
  if (!stats.isDirectory()) return [fileAt(path, stats.isFile() ? budget : undefined)];
  const names = (await readdir(path, { recursive })).filter((name) => EXTENSIONS.some((end) => name.endsWith(end)));
  const files: InputFile[] = [];
  for (const name of names.sort()) {
    const file = join(path, name);
    // A directory may be called `x.yaml`, and mounted ConfigMaps are symlinks. A link to nothing, as editors leave them, is told
    // when it is read: the other files go on.
    const stats = await stat(file).catch(() => undefined);
    if (!stats?.isDirectory()) files.push(fileAt(file, stats?.isFile() ? budget : undefined));
  }
  if (files.length > 0) return files;
  const remedy = recursive ? '' : '; --recursive looks into its subdirectories too';
  throw new BadInput([`${path}: the directory has no *.yaml, *.yml or *.json files${remedy}`]);
}

/** `budget` undefined: not a regular file, such as a pipe, which can be read only once. */
function fileAt(path: string, budget: Budget | undefined): InputFile {
  const readIt = () => {
    try {
      return decode(path, readFileSync(path));
    } catch (error) {
      throw new BadInput([problemOf(error, path)]);
    }
  };
  if (!budget) return kept(path, readIt);
  let source: Source | undefined;
  const read = () => {
    if (source) return source;
    const fresh = readIt();
    if (fresh.text.length <= budget.left) {
      source = fresh;
      budget.left -= fresh.text.length;
    }
    return fresh;
  };
  return { name: path, read };
}

function kept(name: string, read: () => Source): InputFile {
  let source: Source | undefined;
  return { name, read: () => (source ??= read()) };
}

/**
 * As kubectl decodes a file (cli-runtime, FileVisitor): UTF-16 where a byte-order mark says so, else UTF-8. kubectl replaces bytes that
 * are no UTF-8, and would write them otherwise than they came: here their documents go through untouched, or not at all.
 */
export function decode(name: string, bytes: Buffer): Source {
  const utf16 = { fffe: 'utf-16le', feff: 'utf-16be' }[bytes.subarray(0, 2).toString('hex')];
  if (utf16 === undefined && !isUtf8(bytes)) {
    const unreadable = 'the text is not UTF-8: convert it first, as with iconv';
    return { name, text: bytes.toString('latin1'), encoding: 'latin1', unreadable };
  }
  const text = utf16 === undefined ? bytes.toString() : new TextDecoder(utf16).decode(bytes);
  if (!text.includes('\0')) return { name, text };
  const unreadable = 'the text has NUL characters: if it is UTF-16 or UTF-32, convert it to UTF-8, as with iconv';
  // UTF-32 begins like UTF-16.
  return utf16 === undefined
    ? { name, text, unreadable }
    : { name, text: bytes.toString('latin1'), encoding: 'latin1', unreadable };
}

/** One line for an error of the file system; anything unexpected is thrown on. */
function problemOf(error: unknown, path: string): string {
  if (error instanceof BadInput) return error.message;
  if (error instanceof Error && 'errno' in error && typeof error.errno === 'number') {
    const file = 'path' in error && typeof error.path === 'string' ? error.path : path;
    return `${file}: ${fileProblem(error)}`;
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (
    code === 'ERR_STRING_TOO_LONG' ||
    code === 'ERR_FS_FILE_TOO_LARGE' ||
    code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
  ) {
    return `${path}: the file is too large to be held in memory: split it`;
  }
  throw error;
}
