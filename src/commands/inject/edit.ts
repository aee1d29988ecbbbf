import { isDeepStrictEqual } from 'node:util';
import { CORE_SCHEMA, load } from 'js-yaml';
import type { JsonObject } from '../../contract/json.ts';
import { type Manifest, readDocument } from './manifests.ts';
import { splice } from './splice.ts';
import { styleOf } from './style.ts';
import { renderBlock } from './yaml.ts';

/** A change of an anchor's node is followed by as many rounds as its aliases are nested, to write those out. */
const MAX_ROUNDS = 8;

/**
 * The text of a manifest with another value: only what changes is written anew. Every result has been read back and found to have that
 * value; where that fails, as with keys that are mappings, the document is written anew as a whole, without its comments.
 */
export function editManifest(manifest: Manifest, after: JsonObject): string {
  return after === manifest.value ? manifest.text : asWritten(manifest, edited(manifest, after));
}

function edited(manifest: Manifest, after: JsonObject): string {
  let text = manifest.readable;
  let before: unknown = manifest.value;
  let tree = manifest.tree();
  const style = styleOf(tree, text);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const spliced = splice(text, tree, before, after, style);
    if (spliced !== undefined && readsAs(spliced, manifest.format, after)) return spliced;
    const read = spliced === undefined ? undefined : readDocument(spliced);
    if (spliced === undefined || !read) break;
    if (isDeepStrictEqual(read.value, after)) return spliced;
    text = spliced;
    before = read.value;
    tree = read.tree;
  }
  return rewrite(manifest, after);
}

/**
 * Whether another parser, many times as fast, reads that value there. Where it does not, because it goes by YAML 1.2 in all (`yes` is a
 * text to it) or will not read the text at all, the one that knows what kubectl reads has to tell.
 */
function readsAs(text: string, format: Manifest['format'], value: JsonObject): boolean {
  try {
    return isDeepStrictEqual(format === 'json' ? JSON.parse(text.replace(/^\uFEFF/, '')) : load(text, OPTIONS), value);
  } catch {
    return false;
  }
}
const OPTIONS = { schema: CORE_SCHEMA };

/** Around what has changed, the text as it came rather than as it could be read; in it, the same line ends. */
function asWritten({ text, readable }: Manifest, edited: string): string {
  if (text === readable) return edited;
  const shorter = Math.min(readable.length, edited.length);
  let head = 0;
  while (head < shorter && readable[head] === edited[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && readable.at(-1 - tail) === edited.at(-1 - tail)) tail += 1;
  const changed = edited.slice(head, edited.length - tail);
  const own = text.includes('\n') ? changed : changed.replaceAll('\n', '\r');
  return text.slice(0, head) + own + text.slice(text.length - tail);
}

/** What stands around the object, comments and `---`, stays. */
function rewrite({ readable: text, format, tree }: Manifest, after: JsonObject): string {
  const { root, base } = tree();
  const style = styleOf({ root, base }, text);
  const [start, end] = root?.range?.map((at) => at - base) ?? [text.indexOf('{'), text.trimEnd().length];
  const head = text.slice(0, start);
  const tail = text.slice(end);
  const object =
    format === 'json' ? JSON.stringify(after, null, style.jsonIndent) : renderBlock(after, style).slice(0, -1);
  // A block mapping cannot stand in the line of a `---`.
  const before = format === 'yaml' && /\S[^\n]*$/.test(head.replace(/^\uFEFF/, '')) ? style.eol : '';
  return head + before + object.replaceAll('\n', style.eol) + (/^\s*\n/.test(tail) ? '' : style.eol) + tail;
}
