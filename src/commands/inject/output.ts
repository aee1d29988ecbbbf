import { printable } from '../../contract/text.ts';
import { BadInput } from './bad-input.ts';
import { type Paint, unifiedDiff } from './diff.ts';
import { editManifest } from './edit.ts';
import type { Evaluated, Verdict } from './evaluate.ts';
import type { Source } from './inputs.ts';
import { placeOf } from './manifests.ts';
import { objectsIn } from './objects.ts';
import { renderBlock } from './yaml.ts';

/** Every document in order, each in the format it came in; those in which nothing was asked byte for byte. */
export function renderAsGiven(evaluated: readonly Evaluated[]): string {
  return join(evaluated.map(asGiven));
}

const asGiven = ({ manifest, value }: Evaluated): Piece => ({
  source: manifest.source,
  format: manifest.format,
  text: value ? editManifest(manifest, value) : manifest.text,
});

/** Every document in order, JSON turned into YAML. */
export function renderYaml(evaluated: readonly Evaluated[]): string {
  return join(
    evaluated.map((one) => {
      const { manifest, value } = one;
      if (manifest.format === 'yaml') return asGiven(one);
      refuseInexact(one);
      return { source: undefined, format: 'yaml', text: value ? renderBlock(value) : manifest.text };
    }),
  );
}

/** One JSON text: the object, or a List of all. */
export function renderJson(evaluated: readonly Evaluated[]): string {
  for (const one of evaluated) refuseInexact(one);
  const values = evaluated.flatMap(({ value }) => (value ? [value] : []));
  const list = {
    apiVersion: 'v1',
    kind: 'List',
    items: values.flatMap((value) => (value['kind'] === 'List' ? objectsIn(value) : [value])),
  };
  return `${JSON.stringify(values.length === 1 ? values[0] : list, null, 2)}\n`;
}

/** What changes, object by object. */
export function renderDiff(evaluated: readonly Evaluated[], paint: Paint): string {
  return evaluated
    .flatMap(({ verdicts }) =>
      verdicts.map((verdict) => unifiedDiff(verdict.before, verdict.after, titleOf(verdict), paint)),
    )
    .join('');
}

/** `Kind namespace/name`, fit for a terminal. */
export const titleOf = ({ identity: { kind, namespace, name } }: Verdict): string =>
  printable(`${kind} ${namespace}/${name}`);

interface Piece {
  /** The file that it is a part of, with the bytes between its documents. */
  readonly source: Source | undefined;
  readonly format: 'yaml' | 'json';
  readonly text: string;
}

/**
 * One stream from the documents of several files, which need not begin with `---` nor end with a newline. Those of one file go together as
 * they are. JSON objects may follow each other, but not in a stream with YAML.
 */
function join(pieces: readonly Piece[]): string {
  const hasYaml = pieces.some(({ format }) => format === 'yaml');
  let stream = '';
  let last: Piece | undefined;
  for (const piece of pieces) {
    const isContinued =
      piece.source !== undefined && last?.source === piece.source && !(hasYaml && piece.format === 'json');
    stream = !last || isContinued ? stream + piece.text : append(stream, piece.text.replace(/^\uFEFF/, ''), hasYaml);
    last = piece;
  }
  return stream;
}

function append(stream: string, text: string, isYaml: boolean): string {
  const ended = stream === '' || stream.endsWith('\n') ? stream : `${stream}\n`;
  // A directive (`%YAML 1.2`) may only come after the end of the document before.
  const start = /^(?:[^\S\n]*(?:#[^\n]*)?\n)*(---(?=\s|$)|%)?/.exec(text)?.[1];
  const marker = !isYaml || start === '---' ? '' : start === '%' ? '...\n' : '---\n';
  return ended + marker + text;
}

/** Numbers that JavaScript cannot hold would be written as others. (Text that is only edited keeps them.) */
function refuseInexact({ manifest, value }: Evaluated): void {
  const isInexact = (v: unknown) => typeof v === 'number' && Number.isInteger(v) && !Number.isSafeInteger(v);
  JSON.stringify(value, (key, v) => {
    if (!isInexact(v)) return v;
    const place = placeOf(manifest.source, manifest.offset);
    throw new BadInput([
      `${place}: the number in ${key} is too large to be converted exactly: leave out -o, which keeps each document's own format`,
    ]);
  });
}
