/** What a terminal obeys or nobody sees: control and format characters (bidi controls among them), line separators, lone surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Foreign text in a message, a log line or a cell of a table: on one line, and at most `max` UTF-16 units, cut between characters. What
 * cannot be shown becomes U+FFFD, so that it can be seen that something is there; terminals would obey it, and API servers drop a warning
 * that has a control character in it (apimachinery pkg/util/net/http.go, NewWarningHeader).
 */
export const printable = (text: string, max = Number.POSITIVE_INFINITY): string =>
  shorten(text, max).replace(UNPRINTABLE, '\ufffd');

/** The same for text that has lines and columns of its own: its line feeds and tabs stay. */
export const printableLines = (text: string): string => text.replace(/[^\n\t]+/g, (part) => printable(part));

function shorten(text: string, max: number): string {
  if (text.length <= max) return text;
  const end = max - 1;
  const splitsPair = /[\ud800-\udbff]/.test(text.charAt(end - 1));
  return `${text.slice(0, splitsPair ? end - 1 : end)}…`;
}

/** `a, b or c` */
export const enumerate = (words: readonly string[], conjunction: 'and' | 'or'): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} ${conjunction} ${words.at(-1)}`;
