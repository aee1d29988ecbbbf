import type { JsonObject } from '../../contract/json.ts';
import { printable } from '../../contract/text.ts';
import { type Paint, unifiedDiff } from './diff.ts';
import type { Document } from './documents.ts';
import { editManifest } from './edit.ts';
import type { Evaluated, Verdict } from './evaluate.ts';
import type { Source } from './inputs.ts';
import { type Manifest, placeOf } from './manifests.ts';
import { objectsIn } from './objects.ts';
import { renderBlock } from './yaml.ts';

/** What is written, document by document. */
export interface Output {
  /** Whether documents of that format have to be read even if they ask for nothing. */
  readonly converts: (format: Document['format']) => boolean;
  /** A document as it came, one that could not be read among them. */
  readonly untouched: (document: Document) => Chunk;
  /** Throws InexactError. */
  readonly evaluated: (evaluated: Evaluated) => Chunk;
  /** What is left to write after the last. */
  readonly end: () => string;
}

/** Text is UTF-8; bytes are those of a document that is not. */
export type Chunk = string | Buffer;

/** A document cannot be converted without loss; the message begins with its place. */
export class InexactError extends Error {
  override name = 'InexactError';
}

/**
 * Every document in order, each in the format it came in; those in which nothing was asked byte for byte.
 * @param hasYaml whether any of them is YAML
 */
export function asGiven(hasYaml: boolean): Output {
  const join = joiner(hasYaml);
  return {
    converts: () => false,
    untouched: join,
    evaluated: (evaluated) => join(edited(evaluated)),
    end: () => '',
  };
}

const edited = ({ manifest, value }: Evaluated): Manifest =>
  value ? { ...manifest, text: editManifest(manifest, value) } : manifest;

/** Every document in order, JSON turned into YAML; what cannot be, is YAML as it is. */
export function asYaml(): Output {
  const join = joiner(true);
  return {
    converts: (format) => format === 'json',
    untouched: join,
    evaluated: (evaluated) => {
      const { manifest, value } = evaluated;
      if (manifest.format === 'yaml') return join(edited(evaluated));
      refuseInexact(manifest, value);
      return join({ source: undefined, format: 'yaml', text: value ? renderBlock(value) : manifest.text });
    },
    end: () => '',
  };
}

/** One JSON text: the object, or a List of all. */
export function asJson(): Output {
  let written = 0;
  /** The first waits for a second, which makes it an item of a List. */
  let first: JsonObject | undefined;
  const item = (value: JsonObject): string => {
    const text = JSON.stringify(value, null, 2).replaceAll('\n', '\n    ');
    return `${written++ === 0 ? LIST_HEAD : ','}\n    ${text}`;
  };
  const items = (value: JsonObject): string => itemsOf(value).map(item).join('');
  return {
    converts: () => true,
    untouched: () => '',
    evaluated: ({ manifest, value }) => {
      refuseInexact(manifest, value);
      if (!value) return '';
      if (written > 0) return items(value);
      if (first) return items(first) + items(value);
      first = value;
      return '';
    },
    end: () => (written > 0 ? '\n  ]\n}\n' : `${JSON.stringify(first ?? EMPTY_LIST, null, 2)}\n`),
  };
}

const EMPTY_LIST = { apiVersion: 'v1', kind: 'List', items: [] };
const LIST_HEAD = '{\n  "apiVersion": "v1",\n  "kind": "List",\n  "items": [';
const itemsOf = (value: JsonObject): readonly JsonObject[] => (value['kind'] === 'List' ? objectsIn(value) : [value]);

/** What changes, object by object. */
export function asDiff(paint: Paint): Output {
  return {
    converts: () => false,
    untouched: () => '',
    evaluated: ({ verdicts }) =>
      verdicts.map((verdict) => unifiedDiff(verdict.before, verdict.after, titleOf(verdict), paint)).join(''),
    end: () => '',
  };
}

/** `Kind namespace/name`, fit for a terminal. */
export const titleOf = ({ identity: { kind, namespace, name } }: Pick<Verdict, 'identity'>): string =>
  printable(`${kind} ${namespace}/${name}`);

interface Piece {
  /** The file that it is a part of, with the bytes between its documents. */
  readonly source: Source | undefined;
  readonly format: 'yaml' | 'json';
  readonly text: string;
}

/**
 * Makes one stream from the documents of several files, which need not begin with `---` nor end with a newline. Those of one file go
 * together as they are. JSON objects may follow each other, but not in a stream with YAML.
 */
function joiner(hasYaml: boolean): (piece: Piece) => Chunk {
  let last: { readonly source: Source | undefined } | undefined;
  let isEnded = true;
  return ({ source, format, text }) => {
    const isContinued = source !== undefined && last?.source === source && !(hasYaml && format === 'json');
    const chunk = !last || isContinued ? text : separated(text.replace(/^\uFEFF/, ''), isEnded, hasYaml);
    last = { source };
    if (chunk !== '') isEnded = chunk.endsWith('\n');
    return source?.encoding === undefined ? chunk : Buffer.from(chunk, source.encoding);
  };
}

function separated(text: string, isEnded: boolean, isYaml: boolean): string {
  // A directive (`%YAML 1.2`) may only come after the end of the document before.
  const start = /^(?:[^\S\n]*(?:#[^\n]*)?\n)*(---(?=\s|$)|%)?/.exec(text)?.[1];
  const marker = !isYaml || start === '---' ? '' : start === '%' ? '...\n' : '---\n';
  return (isEnded ? '' : '\n') + marker + text;
}

/** Numbers that JavaScript or JSON cannot hold would be written as others. (Text that is only edited keeps them.) */
function refuseInexact(manifest: Manifest, value: JsonObject | undefined): void {
  JSON.stringify(value, (key, v) => {
    if (typeof v !== 'number' || (Number.isFinite(v) && (!Number.isInteger(v) || Number.isSafeInteger(v)))) return v;
    const problem = Number.isFinite(v) ? 'is too large to be converted exactly' : 'cannot be written as JSON';
    const place = placeOf(manifest.source, manifest.offset);
    throw new InexactError(
      `${place}: the number in ${key} ${problem}: leave out -o, which keeps each document's own format`,
    );
  });
}
