import {
  type Alias,
  Composer,
  type Document,
  type ErrorCode,
  isAlias,
  LineCounter,
  type Node,
  type ParsedNode,
  Parser,
  parseDocument,
  visit,
} from 'yaml';
import { isObject, type JsonObject } from '../../contract/json.ts';
import { quote } from '../../contract/suggest.ts';
import type { Source } from './inputs.ts';
import { PARSE_OPTIONS, TO_JS_OPTIONS } from './yaml.ts';

/** One document of a file, with every byte up to the next one: the texts of all manifests of a file, joined, are the file. */
export interface Manifest {
  readonly source: Source;
  /** Of `text` in the source. */
  readonly offset: number;
  readonly text: string;
  readonly format: 'yaml' | 'json';
  /** undefined: an empty document, of comments or nothing. */
  readonly value: JsonObject | undefined;
  readonly tree: () => Tree;
}

/** The syntax tree of a document. */
export interface Tree {
  readonly root: Node | null;
  /** What to subtract from the ranges of the nodes to get offsets in the document's text. */
  readonly base: number;
}

export interface Parsed {
  readonly manifests: readonly Manifest[];
  /** `FILE:LINE:COLUMN: what is wrong`, one a document. */
  readonly problems: readonly string[];
}

const NO_TREE: Tree = { root: null, base: 0 };

/** Splits and reads a file: YAML with any number of documents, or JSON, one object or several after each other as kubectl takes them. */
export function parseManifests(source: Source): Parsed {
  const { text } = source;
  const chunks = /^\s*\{/.test(text) ? splitJson(text) : undefined;
  if (!chunks) return parseYaml(source, text, 0);
  const parsed = chunks.map((chunk) => parseJson(source, chunk.text, chunk.offset));
  return {
    manifests: parsed.flatMap(({ manifests }) => manifests),
    problems: parsed.flatMap(({ problems }) => problems),
  };
}

/** `FILE:LINE:COLUMN` of an offset in a source, as editors count: from 1. */
export function placeOf(source: Source, offset: number): string {
  let lines = lineCounters.get(source);
  if (!lines) {
    lines = new LineCounter();
    lines.addNewLine(0);
    for (const { index } of source.text.matchAll(/\n/g)) lines.addNewLine(index + 1);
    lineCounters.set(source, lines);
  }
  const { line, col } = lines.linePos(offset);
  return `${source.name}:${line}:${col}`;
}

/** A file with a thousand mistakes is not read a thousand times. */
const lineCounters = new WeakMap<Source, LineCounter>();

/** One document's tree and value. undefined where the text is not one readable document. */
export function readDocument(text: string): { tree: Tree; value: unknown } | undefined {
  const document = parseDocument(text, PARSE_OPTIONS);
  const result = contentsOf(document);
  return 'problem' in result ? undefined : { tree: { root: document.contents, base: 0 }, value: result.value };
}

function parseJson(source: Source, text: string, offset: number): Parsed {
  try {
    const value = JSON.parse(text.replace(/^\uFEFF/, ''));
    let cached: Tree | undefined;
    const tree = () => (cached ??= readDocument(text)?.tree ?? NO_TREE);
    return { manifests: [{ source, offset, text, format: 'json', value, tree }], problems: [] };
  } catch {
    // With comments or trailing commas it is YAML all the same, and that parser says best what is wrong.
    return parseYaml(source, text, offset);
  }
}

function parseYaml(source: Source, text: string, offset: number): Parsed {
  const manifests: Manifest[] = [];
  const problems: string[] = [];
  let start = 0;
  for (const item of new Composer(PARSE_OPTIONS).compose(new Parser().parse(text))) {
    const document = item as Document.Parsed<ParsedNode>;
    const end = endOfLine(text, document.range[2]);
    const result = objectOf(document);
    if ('problem' in result) {
      const hint = hintOf(result, text, text.slice(start, end));
      problems.push(`${placeOf(source, offset + result.at)}: ${result.problem}${hint && ` (${hint})`}`);
    }
    const tree = { root: document.contents, base: start };
    manifests.push({
      source,
      offset: offset + start,
      text: text.slice(start, end),
      format: 'yaml',
      value: 'problem' in result ? undefined : result.value,
      tree: () => tree,
    });
    start = end;
  }
  // What follows the last document, comments after its `...`, goes through too.
  const rest = text.slice(start);
  if (rest !== '') {
    manifests.push({
      source,
      offset: offset + start,
      text: rest,
      format: 'yaml',
      value: undefined,
      tree: () => NO_TREE,
    });
  }
  return { manifests, problems };
}

/** The range of a document that ends with nothing (`key:`, `---`) leaves that line's end out. */
const endOfLine = (text: string, offset: number): number =>
  text[offset - 1] === '\n' ? offset : offset + (/^[^\S\n]*\n?/.exec(text.slice(offset))?.[0].length ?? 0);

interface Problem {
  readonly at: number;
  readonly problem: string;
  readonly code?: ErrorCode;
}

/** What to do about the commonest slips. */
function hintOf({ at, code }: Problem, text: string, document: string): string {
  if (document.includes('{{')) return 'a template has to be rendered first, as with helm template';
  if (code === 'BAD_ALIAS') return 'text that begins with * has to be in quotes';
  const isTopLevel = text[at - 1] === '\n';
  if (code === 'DUPLICATE_KEY' && isTopLevel) return 'a line --- between two manifests may be missing before it';
  return '';
}

function objectOf(document: Document.Parsed<ParsedNode>): { value: JsonObject | undefined } | Problem {
  const result = contentsOf(document);
  if ('problem' in result) return result;
  const { value } = result;
  if (value === null || value === undefined) return { value: undefined };
  if (isObject(value)) return { value };
  const found = Array.isArray(value) ? 'a list' : quote(value);
  return { at: document.contents?.range[0] ?? 0, problem: `expected a Kubernetes object, found ${found}` };
}

function contentsOf(document: Document): { value: unknown } | Problem {
  const [error] = document.errors;
  if (error) return { at: error.pos[0], problem: error.message, code: error.code };
  try {
    return { value: document.toJS(TO_JS_OPTIONS) };
  } catch (error) {
    // An alias without its anchor, or aliases that expand to too much.
    if (!(error instanceof ReferenceError)) throw error;
    const alias = danglingAlias(document);
    if (!alias) return { at: document.contents?.range?.[0] ?? 0, problem: error.message };
    const problem = `the alias *${alias.source} has no anchor before it`;
    return { at: alias.range?.[0] ?? 0, problem, code: 'BAD_ALIAS' };
  }
}

/** The first alias without an anchor of its name before it. */
function danglingAlias(document: Document): Alias | undefined {
  const anchors = new Set<string>();
  let found: Alias | undefined;
  visit(document, {
    Node(_, node) {
      if (!isAlias(node)) {
        if (node.anchor) anchors.add(node.anchor);
        return undefined;
      }
      if (anchors.has(node.source)) return undefined;
      found = node;
      return visit.BREAK;
    },
  });
  return found;
}

/** Cuts a text that is one JSON object after another. undefined where anything else stands between them, or one is not closed. */
function splitJson(text: string): { text: string; offset: number }[] | undefined {
  const starts: number[] = [];
  let depth = 0;
  for (const { 0: token, index } of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]]|[^\s"{}[\]]+|"/gs)) {
    if (depth === 0) {
      if (token !== '{') return undefined;
      // What stands before the first object belongs to it.
      starts.push(starts.length === 0 ? 0 : index);
    }
    if (token === '{' || token === '[') depth += 1;
    if (token === '}' || token === ']') depth -= 1;
  }
  if (depth !== 0) return undefined;
  return starts.map((offset, i) => ({ offset, text: text.slice(offset, starts[i + 1]) }));
}
