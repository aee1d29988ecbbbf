import { closestMatch } from 'leven';

/** `; did you mean "x"?` for a near miss among `known`, else an empty string. */
export function didYouMean(word: string, known: readonly string[]): string {
  const maxDistance = Math.max(1, Math.floor(word.length / 3));
  const match = word.length <= 64 ? closestMatch(word, [...known], { maxDistance }) : undefined;
  return match === undefined ? '' : `; did you mean "${match}"?`;
}

/** A foreign string in a message: quoted, escaped, and cut where it is long. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}…` : text);
}
