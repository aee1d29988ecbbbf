import { PREFIX } from '../../contract/annotations.ts';
import { WORKLOAD_KINDS } from '../../injection/index.ts';
import { hasDefaults, type Policy } from '../../policy/index.ts';

/**
 * Tells from their text which documents have to be read: those that name the prefix of our annotations, in whatever case, and with
 * defaults in the policy those that have something with pods in them.
 */
export function asksUnder(policy: Policy): (text: string) => boolean {
  const words = policy.rules.some(hasDefaults) ? `${ASKS}|${ofKind(PODS)}` : ASKS;
  const pattern = new RegExp(words, 'i');
  return (text) => pattern.test(text) || (hasHidden(text) && pattern.test(unhidden(text)));
}

/** Whether there may be a Namespace in it, the labels of which count. */
export const hasNamespace = (text: string): boolean => NAMESPACE.test(text);

const ASKS = PREFIX.replaceAll('.', '\\.');
const PODS = `(?:Pod|${WORKLOAD_KINDS.map((kind) => kind.split('/')[1]).join('|')})(?:List)?`;
/** `kind:` and the kind, with what may stand between them: a quote, an anchor, a tag. */
const ofKind = (kind: string): string => `\\bkind["']?\\s*:\\s*(?:[&!]\\S*\\s+)*["']?${kind}\\b`;
const NAMESPACE = new RegExp(ofKind('Namespace(?:List)?'));

/** Escapes in a text in double quotes that stand for letters, dots and slashes. UTF-16 without a byte-order mark has NULs between them. */
const ESCAPE = /\\(?:x([\da-f]{2})|u([\da-f]{4})|U([\da-f]{8})|(\/)|(?:\r\n|\n|\r)[ \t]*)/gi;
const hasHidden = (text: string): boolean => text.includes('\0') || (text.includes('\\') && text.search(ESCAPE) >= 0);

function unhidden(text: string): string {
  return text.replaceAll('\0', '').replace(ESCAPE, (_, x?: string, u?: string, long?: string, slash?: string) => {
    const code = Number.parseInt(x ?? u ?? long ?? '', 16);
    return slash ?? (code <= 0x10ffff ? String.fromCodePoint(code) : '');
  });
}
