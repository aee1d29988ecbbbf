import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  type Node,
  parseAllDocuments,
  visit,
  type YAMLMap,
  type YAMLParseError,
  type YAMLWarning,
} from 'yaml';
import { quote } from '../contract/suggest.ts';
import { inPlainWords } from './yaml-problems.ts';

/** Where something stands in a text, as an offset from its start. */
export interface Problem {
  readonly offset: number;
  readonly path: Path;
  readonly message: string;
}
export type Path = readonly PropertyKey[];

/** A YAML text that has been read: its value as plain objects, and where in the text each part of it stands. */
export interface YamlText {
  readonly value: unknown;
  readonly root: Node | null;
  readonly problems: readonly Problem[];
  /** The offset of what stands at a path, or of what comes nearest to it; `key` for that of the key itself. */
  locate(path: Path, key?: 'key'): number;
}

/** A policy has some hundreds of values. More than this, written or by alias, is no policy. */
const MAX_VALUES = 20_000;
const MAX_DEPTH = 32;
/** Indentation, punctuation and comments included. */
const MAX_TOKENS = 10 * MAX_VALUES;
const TOO_MANY = `holds more than ${MAX_VALUES.toLocaleString('en')} values, which no policy needs`;
const TOO_DEEP = `is nested more than ${MAX_DEPTH} levels deep, which no policy needs`;
const NOT_UTF8 = 'has characters that are not UTF-8: convert the file first, as with iconv';

/**
 * Reads one YAML document. Never throws: syntax errors, several documents, tags, keys given twice, aliases that are not defined, lead
 * in a circle or multiply the text come back as problems. With problems that leave the value in doubt, `value` is undefined.
 */
export function readYaml(text: string): YamlText {
  const documents = parse(text);
  if ('problem' in documents) return unreadable([documents.problem]);
  const [document, second] = documents.list;
  if (document === undefined) return unreadable([at(0, 'is empty; expected a policy')]);
  if (second !== undefined) {
    return unreadable([at(second.range[0], 'a second document begins here; expected one, the policy')]);
  }
  const root = document.contents;
  // After the first, syntax errors only follow from one another.
  const [error] = document.errors;
  if (error) return unreadable([toProblem(error)]);
  const problems = document.warnings.map(toProblem);
  const { lost, repeated, aliased } = survey(document);
  if (lost.length > 0) return unreadable([...problems, ...repeated, ...lost]);
  const locate = (path: Path, key?: 'key') => locateIn(document, aliased, path, key);
  const converted = toValue(document);
  if ('problem' in converted) return unreadable([...problems, converted.problem]);
  return { value: converted.value, root, problems: [...problems, ...repeated], locate };
}

const at = (offset: number, message: string, path: Path = []): Problem => ({ offset, path, message });
const unreadable = (problems: readonly Problem[]): YamlText => ({
  value: undefined,
  root: null,
  problems,
  locate: () => problems[0]?.offset ?? 0,
});

function parse(text: string): { list: readonly Document.Parsed[] } | { problem: Problem } {
  // The lexer is lazy and costs little a token; the parser and the composer take seconds for a megabyte of brackets.
  let tokens = 0;
  for (const _ of new Lexer().lex(text)) if (++tokens > MAX_TOKENS) return { problem: at(0, TOO_MANY) };
  try {
    // Our own look for keys given twice is linear, theirs is quadratic.
    const options = { prettyErrors: false, uniqueKeys: false, logLevel: 'error' } as const;
    return { list: parseAllDocuments(text, options) as Document.Parsed[] };
  } catch (error) {
    return { problem: at(0, isStackOverflow(String(error)) ? TOO_DEEP : `is not YAML: ${String(error)}`) };
  }
}

/** The composer calls itself for each level. It reports the end of the stack as it reports syntax errors, or throws it. */
const isStackOverflow = (message: string): boolean => /call stack|stack overflow/i.test(message);

function toValue(document: Document.Parsed): { value: unknown } | { problem: Problem } {
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const message = error instanceof ReferenceError ? inPlainWords(error) : `is not a policy: ${String(error)}`;
    return { problem: at(0, message) };
  }
  const problem = extentProblem(value);
  return problem === undefined ? { value } : { problem: at(0, problem) };
}

/** Whether it is too large, or deep, or circular, for recursion over it. */
function extentProblem(root: unknown): string | undefined {
  let level: unknown[] = [root];
  let seen = 0;
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return TOO_DEEP;
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value !== 'object' || value === null) continue;
      const children = Object.values(value);
      seen += children.length;
      if (seen > MAX_VALUES) return TOO_MANY;
      next.push(...children);
    }
    level = next;
  }
  return undefined;
}

interface Survey {
  /** What would be lost or mistaken on the way to plain objects: there all keys are text, and `__proto__` is none. */
  readonly lost: readonly Problem[];
  readonly repeated: readonly Problem[];
  /** What each alias stands for. */
  readonly aliased: ReadonlyMap<unknown, Node>;
}

/** One walk over the document, in the order of the text. */
function survey(document: Document.Parsed): Survey {
  const anchors = new Map<string, Node>();
  const aliased = new Map<unknown, Node>();
  const lost: Problem[] = [];
  const repeated: Problem[] = [];
  visit(document, {
    Pair(_, { key, value }) {
      const isText = isScalar(key) && typeof key.value === 'string';
      if (isText && key.value !== '__proto__') return;
      const message = isText ? '"__proto__" cannot be a key' : 'expected text as the key: put it in quotes';
      lost.push(at(offsetOf(key) ?? offsetOf(value) ?? 0, message));
    },
    Node(_, node) {
      if (isAlias(node)) {
        const target = anchors.get(node.source);
        if (target !== undefined) aliased.set(node, target);
        else
          lost.push(
            at(
              offsetOf(node) ?? 0,
              `the alias ${quote(node.source)} has no anchor of that name before it; text that begins with * has to be in quotes`,
            ),
          );
        return;
      }
      if (node.anchor !== undefined) anchors.set(node.anchor, node);
      // What decoders put in place of bytes that they cannot read. A comment may have it.
      if (isScalar(node) && typeof node.value === 'string' && node.value.includes('\uFFFD')) {
        lost.push(at(offsetOf(node) ?? 0, NOT_UTF8));
      }
      if (isMap(node)) repeated.push(...repeatedKeys(node));
    },
  });
  return { lost, repeated, aliased };
}

function repeatedKeys({ items }: YAMLMap): readonly Problem[] {
  const seen = new Set<unknown>();
  return items.flatMap(({ key }) => {
    if (!isScalar(key)) return [];
    if (seen.has(key.value)) return [at(offsetOf(key) ?? 0, `the key ${quote(key.value)} is given twice`)];
    seen.add(key.value);
    return [];
  });
}

const offsetOf = (node: unknown): number | undefined => (isNode(node) ? node.range?.[0] : undefined);

function locateIn(document: Document.Parsed, aliased: ReadonlyMap<unknown, Node>, path: Path, wanted?: 'key'): number {
  let node: unknown = document.contents;
  let offset = offsetOf(node) ?? 0;
  for (const [depth, step] of path.entries()) {
    const found = child(aliased.get(node) ?? node, step);
    if (found === undefined) break;
    const isKey = wanted === 'key' && depth === path.length - 1;
    // A key without a value has a null node of no width, or none at all: then the key is what can be pointed at.
    const target = isKey || isEmpty(found.value) ? (found.key ?? found.value) : found.value;
    offset = offsetOf(target) ?? offset;
    node = found.value;
  }
  return offset;
}

const isEmpty = (node: unknown): boolean => !isNode(node) || (isScalar(node) && node.range?.[0] === node.range?.[1]);

function child(node: unknown, step: PropertyKey): { key?: unknown; value: unknown } | undefined {
  if (isSeq(node)) return typeof step === 'number' ? { value: node.items[step] } : undefined;
  if (!isMap(node)) return undefined;
  // Of a key that is given twice the last counts, as for the value.
  const pair = node.items.findLast(
    ({ key }) => (isScalar(key) ? String(key.value ?? '') : String(key)) === String(step),
  );
  return pair && { key: pair.key, value: pair.value };
}

function toProblem(error: YAMLParseError | YAMLWarning): Problem {
  const { pos, code, message } = error;
  const hint = code === 'BAD_ALIAS' ? '; text that begins with * has to be in quotes' : '';
  return at(
    pos[0],
    isStackOverflow(message)
      ? TOO_DEEP
      : `is not YAML: ${code === 'TAG_RESOLVE_FAILED' ? message : inPlainWords(error)}${hint}`,
  );
}
