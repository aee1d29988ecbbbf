import {
  Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  parseAllDocuments,
  visit,
} from 'yaml';

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
const MAX_VALUES = 100_000;
const MAX_DEPTH = 32;

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
  const problems = [...document.errors, ...document.warnings].map(({ pos, message }) => at(pos[0], sentence(message)));
  const structureLost = document.errors.some(({ code }) => code !== 'DUPLICATE_KEY');
  if (structureLost) return unreadable(problems);
  const locate = (path: Path, key?: 'key') => locateIn(document, path, key);
  const undefinedAliases = findUndefinedAliases(document);
  if (undefinedAliases.length > 0) return unreadable([...problems, ...undefinedAliases]);
  const converted = toValue(document);
  if ('problem' in converted) return unreadable([...problems, converted.problem]);
  return { value: converted.value, root, problems, locate };
}

const at = (offset: number, message: string, path: Path = []): Problem => ({ offset, path, message });
const unreadable = (problems: readonly Problem[]): YamlText => ({
  value: undefined,
  root: null,
  problems,
  locate: () => problems[0]?.offset ?? 0,
});

/** The composer of the yaml package calls itself for each level, so that deep nesting ends the stack. */
function parse(text: string): { list: readonly Document.Parsed[] } | { problem: Problem } {
  try {
    return { list: parseAllDocuments(text, { prettyErrors: false, logLevel: 'error' }) as Document.Parsed[] };
  } catch (error) {
    const message = error instanceof RangeError ? 'is nested too deeply' : `is not YAML: ${String(error)}`;
    return { problem: at(0, message) };
  }
}

function toValue(document: Document.Parsed): { value: unknown } | { problem: Problem } {
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const message =
      error instanceof ReferenceError
        ? 'aliases multiply the text beyond measure'
        : `is not a policy: ${String(error)}`;
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
    if (depth > MAX_DEPTH) return `is nested more than ${MAX_DEPTH} deep, or holds an alias of itself`;
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value !== 'object' || value === null) continue;
      const children = Object.values(value);
      seen += children.length;
      if (seen > MAX_VALUES) return `holds more than ${MAX_VALUES.toLocaleString('en')} values`;
      next.push(...children);
    }
    level = next;
  }
  return undefined;
}

function findUndefinedAliases(document: Document.Parsed): readonly Problem[] {
  const anchors = new Set<string>();
  const problems: Problem[] = [];
  visit(document, (_, node) => {
    if (isAlias(node) && !anchors.has(node.source)) {
      problems.push(at(offsetOf(node) ?? 0, `the alias *${node.source} has no anchor &${node.source} before it`));
    } else if (isNode(node) && !isAlias(node) && node.anchor !== undefined) {
      anchors.add(node.anchor);
    }
  });
  return problems;
}

const offsetOf = (node: unknown): number | undefined => (isNode(node) ? node.range?.[0] : undefined);

function locateIn(document: Document.Parsed, path: Path, wanted?: 'key'): number {
  let node: unknown = document.contents;
  let offset = offsetOf(node) ?? 0;
  for (const [depth, step] of path.entries()) {
    if (node instanceof Alias) node = node.resolve(document);
    const found = child(node, step);
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
  const pair = node.items.find(({ key }) => (isScalar(key) ? String(key.value ?? '') : String(key)) === String(step));
  return pair && { key: pair.key, value: pair.value };
}

/** The yaml package's messages are whole sentences; ours are phrases after a position. */
const sentence = (message: string): string => `YAML: ${message.replace(/\.?\s*$/, '')}`;
