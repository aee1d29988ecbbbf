import { closestMatch } from 'leven';

/** Each costs a comparison, and names may come from a pod with thousands. */
const MAX_CANDIDATES = 1000;

/** `; did you mean "x"?` for a near miss among `known`, else an empty string. */
export function didYouMean(word: string, known: readonly string[]): string {
  // Two: letters that changed places, the commonest slip.
  const maxDistance = word.length < 4 ? 1 : Math.max(2, Math.floor(word.length / 3));
  if (word.length > 64) return '';
  const candidates = known.slice(0, MAX_CANDIDATES).map((name) => name.toLowerCase());
  const match = closestMatch(word.toLowerCase(), candidates, { maxDistance });
  return match === undefined ? '' : `; did you mean "${known[candidates.indexOf(match)]}"?`;
}

/** The same, or else what there is: `; it has a, b`. */
export function didYouMeanOr(word: string, known: readonly string[]): string {
  const shown = known.length > 10 ? [...known.slice(0, 10), '…'] : known;
  return didYouMean(word, known) || `; it has ${shown.join(', ') || 'none'}`;
}

/** A foreign value in a message: text quoted, escaped, and cut where it is long; objects and lists by their kind. */
export function quote(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}…` : value);
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value) ? 'a list' : 'an object';
}
