import type { Source } from './inputs.ts';

/**
 * One document of a file as text, with every byte up to the next one: the documents of a file, joined, are the file. Cut without being
 * read, so that what asks for nothing costs next to nothing, and goes through whatever a parser would say of it.
 */
export interface Document {
  readonly source: Source;
  /** Of `text` in the source. */
  readonly offset: number;
  readonly text: string;
  readonly format: 'yaml' | 'json';
}

/** Cuts a file: YAML with any number of documents, or JSON, one object or several after each other as kubectl takes them. */
export function cut(source: Source): Document[] {
  const { text } = source;
  const json = /^\s*\{/.test(text) ? jsonStarts(text) : undefined;
  const starts = json ?? yamlStarts(text);
  return starts.map((offset, i) => ({
    source,
    offset,
    text: text.slice(offset, starts[i + 1]),
    format: json ? 'json' : 'yaml',
  }));
}

/** Of a mapping or a list, in a line, before any comment. */
const STRUCTURE = /^[^#\r\n]*(?:[:{[]|- )/m;

/** Whether a file has anything but empty documents and plain text. */
export const mayHaveObjects = (documents: readonly Document[]): boolean =>
  documents.some(({ source, text }) => source.unreadable !== undefined || STRUCTURE.test(text));

/**
 * A line that begins with `---`, or is `...`. Nothing inside a document can look like one (YAML 1.2, 9.1.2), and kubectl goes by less: to
 * it, any line that begins with `---` begins a document, whatever follows (apimachinery, splitYAMLDocument).
 */
const MARKER = /(?<![^\r\n\uFEFF])(?:---|\.\.\.(?=\s|$))[^\r\n]*(?:\r\n|\n|\r|$)/g;
/** Comments and directives (`%YAML 1.2`) before a `---` belong to its document. */
const PREAMBLE = /^\uFEFF?(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\n|\r)|%[^\r\n]*(?:\r\n|\n|\r))*$/;

function yamlStarts(text: string): number[] {
  const starts = [0];
  let start = 0;
  for (const { 0: line, index } of text.matchAll(MARKER)) {
    const next = line.startsWith('.') ? index + line.length : index;
    if (next === start || (next === index && PREAMBLE.test(text.slice(start, index)))) continue;
    if (next < text.length) starts.push(next);
    start = next;
  }
  return starts;
}

const [QUOTE, BACKSLASH, COMMA, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST] = [0x22, 0x5c, 0x2c, 0x7b, 0x7d, 0x5b, 0x5d];

/** undefined where anything but white space stands between the objects, or one is not closed. */
function jsonStarts(text: string): number[] | undefined {
  // What stands before the first object belongs to it.
  const starts: number[] = [];
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === QUOTE) {
      if (depth === 0) return undefined;
      i = endOfString(text, i);
      if (i < 0) return undefined;
    } else if (char === OPEN || char === OPEN_LIST) {
      if (depth === 0 && char === OPEN_LIST) return undefined;
      if (depth === 0) starts.push(starts.length === 0 ? 0 : i);
      depth += 1;
    } else if (char === CLOSE || char === CLOSE_LIST) {
      depth -= 1;
      if (depth < 0) return undefined;
    } else if (depth === 0 && (char === COMMA || /\S/.test(text.charAt(i)))) return undefined;
  }
  return depth === 0 ? starts : undefined;
}

/** The offset of the quote that closes the one at `start`; -1: there is none. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return end;
  }
  return -1;
}
