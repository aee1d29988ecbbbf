import {
  Composer,
  type ErrorCode,
  isAlias,
  LineCounter,
  type Node,
  Parser,
  parseDocument,
  visit,
  type Document as YamlDocument,
} from 'yaml';
import { isObject, type JsonObject } from '../../contract/json.ts';
import { quote } from '../../contract/suggest.ts';
import { inPlainWords } from '../../policy/index.ts';
import { cut, type Document } from './documents.ts';
import type { Source } from './inputs.ts';
import { PARSE_OPTIONS, TO_JS_OPTIONS } from './yaml.ts';

/** A document that has been read. */
export interface Manifest extends Document {
  /** Of the same length as `text`: what the tree's offsets are in. */
  readonly readable: string;
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

/** Cuts a file and reads all its documents. */
export function parseManifests(source: Source): Parsed {
  const parsed = cut(source).map(readManifests);
  return {
    manifests: parsed.flatMap(({ manifests }) => manifests),
    problems: parsed.flatMap(({ problems }) => problems),
  };
}

/** Reads a document. What is one to those who cut may turn out to be several, or none where there is no text. */
export function readManifests(document: Document): Parsed {
  const { source, offset, text, format } = document;
  if (source.unreadable !== undefined) {
    return { manifests: [], problems: [`${placeOf(source, offset)}: ${source.unreadable}`] };
  }
  try {
    return format === 'json' ? parseJson(source, text, offset) : parseYaml(source, text, offset);
  } catch (error) {
    if (!isTooDeep(error)) throw error;
    return { manifests: [], problems: [`${placeOf(source, offset)}: ${TOO_DEEP}`] };
  }
}

/** Whether recursion has run out of stack: a document, which may be hostile, is nested too deeply. The parser wraps such errors. */
export const isTooDeep = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('Maximum call stack size');
export const TOO_DEEP = 'it is nested too deeply to be read';

/** `FILE:LINE:COLUMN` of an offset in a source, as editors count: from 1. */
export function placeOf(source: Source, offset: number): string {
  let lines = lineCounters.get(source);
  if (!lines) {
    lines = new LineCounter();
    lines.addNewLine(0);
    for (const { 0: end, index } of source.text.matchAll(/\r\n|\n|\r/g)) lines.addNewLine(index + end.length);
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
  const result = contentsOf(document, text);
  return 'problem' in result ? undefined : { tree: { root: document.contents, base: 0 }, value: result.value };
}

function parseJson(source: Source, text: string, offset: number): Parsed {
  let value: JsonObject;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    // With comments or trailing commas it is YAML all the same, and that parser says best what is wrong.
    return parseYaml(source, text, offset);
  }
  let cached: Tree | undefined;
  const tree = () => (cached ??= readDocument(text)?.tree ?? NO_TREE);
  return { manifests: [{ source, offset, text, readable: text, format: 'json', value, tree }], problems: [] };
}

function parseYaml(source: Source, whole: string, offset: number): Parsed {
  const manifests: Manifest[] = [];
  const problems: string[] = [];
  const text = readableYaml(whole);
  let start = 0;
  const add = (end: number, value: JsonObject | undefined, tree: Tree) => {
    const [own, readable] = [whole.slice(start, end), text.slice(start, end)];
    manifests.push({ source, offset: offset + start, text: own, readable, format: 'yaml', value, tree: () => tree });
    start = end;
  };
  for (const item of new Composer(PARSE_OPTIONS).compose(new Parser().parse(text))) {
    const document = item as YamlDocument;
    const end = endOfLine(text, document.range?.[2] ?? text.length);
    const result = objectOf(document, text);
    if ('problem' in result) {
      const hint = hintOf(result, text, text.slice(start, end));
      problems.push(`${placeOf(source, offset + result.at)}: ${result.problem}${hint && ` (${hint})`}`);
    }
    add(end, 'problem' in result ? undefined : result.value, { root: document.contents as Node | null, base: start });
  }
  // What follows the last document, comments after its `...`, goes through too.
  if (start < text.length) add(text.length, undefined, NO_TREE);
  return { manifests, problems };
}

/**
 * The text as kubectl's parser takes it: a CR alone ends a line, and what follows `---` in its own word is nothing. Of the same length.
 */
function readableYaml(text: string): string {
  const lines = text.includes('\r') ? text.replace(/\r(?!\n)/g, '\n') : text;
  return lines.replace(/(?<![^\n\uFEFF])---\S[^\r\n]*/g, (line) => '---'.padEnd(line.length));
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

function objectOf(document: YamlDocument, text: string): { value: JsonObject | undefined } | Problem {
  const result = contentsOf(document, text);
  if ('problem' in result) return result;
  const { value } = result;
  if (value === null || value === undefined) return { value: undefined };
  if (isObject(value)) return { value };
  const found = Array.isArray(value) ? 'a list' : quote(value);
  return { at: rangeStart(document), problem: `expected a Kubernetes object, found ${found}` };
}

const rangeStart = (document: YamlDocument): number => (document.contents as Node | null)?.range?.[0] ?? 0;

function contentsOf(document: YamlDocument, text: string): { value: unknown } | Problem {
  const [error] = document.errors;
  if (error) return { at: error.pos[0], problem: isTooDeep(error) ? TOO_DEEP : inPlainWords(error), code: error.code };
  const alias = text.includes('*') ? wrongAlias(document) : undefined;
  if (alias) return alias;
  try {
    return { value: document.toJS(TO_JS_OPTIONS) };
  } catch (error) {
    // Aliases that expand to too much.
    if (!(error instanceof ReferenceError)) throw error;
    return { at: rangeStart(document), problem: inPlainWords(error) };
  }
}

/** The first alias that has no anchor of its name before it, or is within what the anchor names. */
function wrongAlias(document: YamlDocument): Problem | undefined {
  const anchors = new Map<string, Node>();
  let found: Problem | undefined;
  visit(document, {
    Node(_, node, path) {
      if (!isAlias(node)) {
        if (node.anchor) anchors.set(node.anchor, node);
        return undefined;
      }
      const anchored = anchors.get(node.source);
      if (anchored && !path.includes(anchored)) return undefined;
      const at = node.range?.[0] ?? 0;
      found = anchored
        ? { at, problem: `the alias *${node.source} is inside what it stands for` }
        : { at, problem: `the alias *${node.source} has no anchor before it`, code: 'BAD_ALIAS' };
      return visit.BREAK;
    },
  });
  return found;
}
