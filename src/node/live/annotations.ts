import { PREFIX } from '../../contract/annotations.ts';

export type ReadAnnotations =
  | { readonly annotations: Readonly<Record<string, string>> }
  | { /** after "the file" */ readonly problem: string };

/**
 * Reads what the kubelet writes for `metadata.annotations` of a downwardAPI volume: a line `key="value"` each, the value as Go quotes it
 * (k8s.io/kubernetes pkg/fieldpath FormatMap, `%q`). Keeps those of hotmount. Pure; never throws, whatever the text.
 */
export function parseAnnotations(text: string): ReadAnnotations {
  const annotations: Record<string, string> = {};
  for (const [index, line] of text.split('\n').entries()) {
    if (!line.startsWith(PREFIX)) continue;
    const equals = line.indexOf('=');
    const value = equals < 0 ? undefined : unquote(line.slice(equals + 1));
    if (value === undefined) return { problem: `has no annotation in line ${index + 1}` };
    annotations[line.slice(0, equals)] = value;
  }
  return { annotations };
}

const LETTERS: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
};

const CODES: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/**
 * The inverse of Go's strconv.Quote; undefined for what it does not write. A byte that is no UTF-8 becomes U+FFFD. No regular expression:
 * a megabyte of escapes would keep it for seconds.
 */
function unquote(text: string): string | undefined {
  const end = text.length - 1;
  if (end < 1 || text[0] !== '"' || text[end] !== '"') return undefined;
  const parts: string[] = [];
  let at = 1;
  for (;;) {
    const slash = text.indexOf('\\', at);
    const plain = text.slice(at, slash < 0 ? end : slash);
    if (plain.includes('"')) return undefined;
    parts.push(plain);
    if (slash < 0) return parts.join('');
    const letter = text[slash + 1] ?? '';
    const digits = CODES[letter] ?? 0;
    at = slash + 2 + digits;
    if (at > end) return undefined;
    const part = digits > 0 ? decode(letter, text.slice(slash + 2, at)) : LETTERS[letter];
    if (part === undefined) return undefined;
    parts.push(part);
  }
}

function decode(letter: string, digits: string): string | undefined {
  if (!/^[0-9a-f]+$/.test(digits)) return undefined;
  const point = Number.parseInt(digits, 16);
  const isValid = letter === 'x' ? point < 0x80 : point <= 0x10ffff;
  return isValid ? String.fromCodePoint(point) : '\ufffd';
}
