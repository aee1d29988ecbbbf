import { isDeepStrictEqual } from 'node:util';
import { isCollection, isMap, isPair, isScalar, isSeq, type Node, type YAMLMap, type YAMLSeq } from 'yaml';
import { isObject, type JsonObject } from '../../contract/json.ts';
import type { Tree } from './manifests.ts';
import { columnAt, type Style } from './style.ts';
import { renderBlock, renderFlow } from './yaml.ts';

/**
 * Changes the text of a document where its value changes, and nowhere else: a printer would keep comments and quoting, but not alignment,
 * blank lines, long lines and line ends. Values that are the same object before and after cost nothing.
 *
 * undefined: it cannot be done in place. Where an anchor's node changes, its aliases change with it: the caller looks at what came out.
 */
export function splice(text: string, tree: Tree, before: unknown, after: unknown, style: Style): string | undefined {
  const sheet: Sheet = { text, base: tree.base, style, edits: [] };
  return change(sheet, tree.root, before, after) ? applyEdits(sheet) : undefined;
}

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

interface Sheet {
  readonly text: string;
  /** Ranges of nodes count from here. */
  readonly base: number;
  readonly style: Style;
  /** Where two insert at the same place, the deeper comes first: children are changed before anything is added to their parent. */
  readonly edits: Edit[];
}

function applyEdits({ text, edits }: Sheet): string {
  let result = '';
  let at = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    result += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return result + text.slice(at);
}

/** False, and no edits, where the node as a whole has to be replaced. */
function change(sheet: Sheet, node: unknown, before: unknown, after: unknown): boolean {
  if (isSame(before, after)) return true;
  const edits = sheet.edits.length;
  const done =
    isMap(node) && isObject(before) && isObject(after)
      ? node.items.length > 0 && changeMap(sheet, node, before, after)
      : isSeq(node) && Array.isArray(before) && Array.isArray(after)
        ? node.items.length > 0 && after.length > 0 && changeSeq(sheet, node, before, after)
        : false;
  if (!done) sheet.edits.length = edits;
  return done;
}

/** Keys such as `toString` and `__proto__` are keys like all others. */
const own = (object: JsonObject, key: string): unknown => (Object.hasOwn(object, key) ? object[key] : undefined);

const isSame = (before: unknown, after: unknown): boolean => before === after || isDeepStrictEqual(before, after);

function changeMap(sheet: Sheet, map: YAMLMap, before: JsonObject, after: JsonObject): boolean {
  const keys = new Set<string>();
  for (const { key, value } of map.items) {
    if (!isScalar(key) || typeof key.value !== 'string' || !value) return false;
    if (key.value === '<<') continue;
    keys.add(key.value);
    const now = own(after, key.value);
    if (now === undefined) {
      if (map.flow || !removeLines(sheet, startOf(sheet, key), endOf(sheet, value))) return false;
    } else if (!change(sheet, value, own(before, key.value), now)) {
      const start = afterIndicator(sheet, endOf(sheet, key), ':');
      if (start === undefined) return false;
      const ok = map.flow
        ? replaceFlow(sheet, value as Node, now)
        : replaceInMap(sheet, start, value as Node, now, columnOf(sheet, map));
      if (!ok) return false;
    }
  }
  if (keys.size > 0 && ![...keys].some((key) => Object.hasOwn(after, key))) return false;
  // A key that came in by `<<` is overridden by one of its own; it cannot be taken away.
  if (Object.keys(before).some((key) => !keys.has(key) && !Object.hasOwn(after, key))) return false;
  const added = Object.entries(after).filter(([key, value]) => !keys.has(key) && !isSame(own(before, key), value));
  if (added.length === 0) return true;
  if (map.flow) appendFlow(sheet, map, added);
  else insertAfter(sheet, endOf(sheet, map), block(sheet, Object.fromEntries(added), columnOf(sheet, map)));
  return true;
}

function changeSeq(sheet: Sheet, seq: YAMLSeq, before: readonly unknown[], after: readonly unknown[]): boolean {
  let previousEnd = startOf(sheet, seq);
  for (const [i, node] of seq.items.entries()) {
    const start = seq.flow ? undefined : afterIndicator(sheet, previousEnd, '-');
    previousEnd = endOf(sheet, node);
    if (i >= after.length) {
      if (start === undefined || !removeLines(sheet, start - 1, previousEnd)) return false;
    } else if (!change(sheet, node, before[i], after[i])) {
      const ok = seq.flow
        ? replaceFlow(sheet, node as Node, after[i])
        : start !== undefined && replaceInSeq(sheet, start, node as Node, after[i], columnOf(sheet, seq));
      if (!ok) return false;
    }
  }
  const added = after.slice(seq.items.length);
  if (added.length === 0) return true;
  if (seq.flow) appendFlow(sheet, seq, added);
  else insertAfter(sheet, endOf(sheet, seq), block(sheet, added, columnOf(sheet, seq)));
  return true;
}

/** A new value after the colon at `start - 1`. */
function replaceInMap(sheet: Sheet, start: number, old: Node, value: unknown, column: number): boolean {
  const end = isAbsent(old) ? start : endOf(sheet, old);
  const { step, indentSeq } = sheet.style;
  if (!hasItems(value)) return put(sheet, start, end, ` ${renderFlow(value)}${lineEndAt(sheet, end)}`);
  const text = block(sheet, value, Array.isArray(value) && !indentSeq ? column : column + step);
  put(sheet, start, end, isCollection(old) && old.anchor ? ` &${old.anchor}` : '');
  if (lineEndAt(sheet, end)) put(sheet, end, end, sheet.style.eol + text);
  else insertAfter(sheet, end, text);
  return true;
}

/** A new value after the dash at `start - 1`. */
function replaceInSeq(sheet: Sheet, start: number, old: Node, value: unknown, column: number): boolean {
  const end = isAbsent(old) ? start : endOf(sheet, old);
  const text = hasItems(value)
    ? block(sheet, value, column + 2).slice(column + 2, -sheet.style.eol.length)
    : renderFlow(value);
  return put(sheet, start, end, ` ${text}${lineEndAt(sheet, end)}`);
}

function replaceFlow(sheet: Sheet, old: Node, value: unknown): boolean {
  if (isAbsent(old)) return false;
  const start = startOf(sheet, old);
  return put(sheet, start, endOf(sheet, old), flow(sheet, value, indentAt(sheet, start)));
}

/** What is added goes before a trailing comma or comment, in a line of its own where the items have lines of their own. */
function appendFlow(sheet: Sheet, collection: YAMLMap | YAMLSeq, added: readonly unknown[]): void {
  const { json, colon, eol } = sheet.style;
  const [first] = collection.items;
  const start = startOf(sheet, isPair(first) ? first.key : first);
  const onOwnLine = sheet.text.slice(startOf(sheet, collection), start).includes('\n');
  const indent = indentAt(sheet, start);
  const separator = onOwnLine ? `,${eol}${indent}` : colon === ':' ? ',' : ', ';
  const texts = added.map((item) => {
    if (isSeq(collection)) return flow(sheet, item, indent);
    const [key, value] = item as [string, unknown];
    return json
      ? `${JSON.stringify(key)}${colon}${flow(sheet, value, indent)}`
      : renderFlow({ [key]: value }).slice(1, -1);
  });
  const end = endOf(sheet, collection.items.at(-1));
  put(sheet, end, end, texts.map((text) => separator + text).join(''));
}

function flow(sheet: Sheet, value: unknown, indent: string): string {
  const { json, jsonIndent, eol } = sheet.style;
  return json ? JSON.stringify(value, null, jsonIndent).replaceAll('\n', eol + indent) : renderFlow(value);
}

function block({ style }: Sheet, value: unknown, column: number): string {
  const key = JSON.stringify([value, style, column]);
  const known = blocks.get(key);
  if (known !== undefined) return known;
  const lines = renderBlock(value, style).split('\n');
  const text = lines.map((line) => (line === '' ? '' : ' '.repeat(column) + line)).join(style.eol);
  if (blocks.size >= MAX_BLOCKS) blocks.clear();
  blocks.set(key, text);
  return text;
}

/** The same is added to many manifests, and to render it takes as long as to read one. */
const blocks = new Map<string, string>();
const MAX_BLOCKS = 200;

function put(sheet: Sheet, start: number, end: number, text: string): true {
  sheet.edits.push({ start, end, text });
  return true;
}

/** Adds whole lines below the line in which `offset` lies, and its comment. */
function insertAfter(sheet: Sheet, offset: number, lines: string): void {
  const { text, style } = sheet;
  const at = lineAfter(text, offset);
  if (at > 0 && text[at - 1] !== '\n') put(sheet, at, at, style.eol + lines.slice(0, -style.eol.length));
  else put(sheet, at, at, lines);
}

/** Takes the lines of an entry away. False where it begins in the middle of one, after a dash. */
function removeLines(sheet: Sheet, start: number, end: number): boolean {
  const lineStart = sheet.text.lastIndexOf('\n', start - 1) + 1;
  return sheet.text.slice(lineStart, start).trim() === '' && put(sheet, lineStart, lineAfter(sheet.text, end), '');
}

function lineAfter(text: string, offset: number): number {
  if (text[offset - 1] === '\n') return offset;
  const newline = text.indexOf('\n', offset);
  return newline < 0 ? text.length : newline + 1;
}

/** Block scalars and block collections end with their last line's end, which a replacement must not swallow. */
const lineEndAt = ({ text, style }: Sheet, end: number): string => (text[end - 1] === '\n' ? style.eol : '');

function indentAt({ text }: Sheet, offset: number): string {
  const lineStart = text.lastIndexOf('\n', offset - 1) + 1;
  return /^\s*/.exec(text.slice(lineStart, offset))?.[0] ?? '';
}

const hasItems = (value: unknown): boolean =>
  Array.isArray(value) ? value.length > 0 : isObject(value) && Object.keys(value).length > 0;

const rangeOf = (node: unknown): readonly [number, number, number] => (node as Node).range ?? [0, 0, 0];
const startOf = (sheet: Sheet, node: unknown): number => rangeOf(node)[0] - sheet.base;

/** Where the node's own text ends: comments that follow it are not its own. */
function endOf(sheet: Sheet, node: unknown): number {
  if (isPair(node)) return endOf(sheet, node.value ?? node.key);
  if (isCollection(node) && !node.flow && node.items.length > 0) return endOf(sheet, node.items.at(-1));
  return rangeOf(node)[1] - sheet.base;
}

/** `key:` with nothing behind it. */
const isAbsent = (node: Node): boolean => rangeOf(node)[0] === rangeOf(node)[1];

/** The offset behind the next `:` or `-`, only comments and space before it. undefined where there is something else, such as `?`. */
function afterIndicator({ text }: Sheet, from: number, indicator: ':' | '-'): number | undefined {
  const pattern = indicator === ':' ? /\s*:/y : /(?:\s|#[^\n]*\n)*-/y;
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex : undefined;
}

const columnOf = (sheet: Sheet, node: Node): number => columnAt(sheet.text, startOf(sheet, node));
