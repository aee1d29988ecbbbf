/** What a directory can be named by. All of it comes from the disk: hostile. */
export interface NameSource {
  readonly label: string;
  readonly uuid: string;
  /** The kernel's name, which is always a safe one. */
  readonly devname: string;
}

/** Bytes. Leaves room for suffixes that tell equal names apart, far below NAME_MAX (255). */
const MAX_LENGTH = 96;

/**
 * Makes a directory name of any text: letters and digits of all scripts, and `._+@=-`; a run of anything else becomes one `_`. Never
 * empty, `.`, `..` or hidden, never like an option (it begins with a letter or digit), never one that reads differently from what it is (control, format and
 * right-to-left characters). Undefined where nothing readable is left.
 * @param maxLength in bytes
 */
export function safeName(text: string, maxLength = MAX_LENGTH): string | undefined {
  const cleaned = text
    .normalize('NFC')
    .replace(/\ufffd/g, ' ')
    .replace(/[^\p{L}\p{N}\p{M}._+@=-]+/gu, '_')
    .replace(/^[^\p{L}\p{N}]+/u, '');
  return truncate(cleaned, maxLength).replace(/_+$/, '') || undefined;
}

/**
 * The names that a disk may have in its class, the best first: what `nameBy` says, then, for when that is taken, the same with
 * something of the disk's own added. The same disk has the same candidates each time, whatever else is plugged in.
 */
export function* nameCandidates(source: NameSource, nameBy: readonly (keyof NameSource)[]): Generator<string> {
  const base = nameBy.map((key) => safeName(source[key])).find((name) => name !== undefined) ?? source.devname;
  yield base;
  const uuid = safeName(source.uuid);
  if (uuid !== undefined && uuid !== base) yield `${base}-${uuid}`;
  if (source.devname !== base) yield `${base}-${source.devname}`;
  for (let i = 2; i <= 100; i++) yield `${base}-${i}`;
}

/** Cuts between characters. */
export function truncate(name: string, maxLength: number): string {
  let length = 0;
  let kept = '';
  for (const character of name) {
    length += Buffer.byteLength(character);
    if (length > maxLength) break;
    kept += character;
  }
  return kept;
}
