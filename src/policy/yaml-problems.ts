import type { ErrorCode, YAMLError } from 'yaml';

/** What the parser says in words of its own, said in those of who has written the text. */
const PLAIN: Partial<Record<ErrorCode, string>> = {
  NON_STRING_KEY: 'a key is a list or a mapping, and Kubernetes takes only text there',
  DUPLICATE_KEY: 'the key is there twice in one mapping',
  BLOCK_AS_IMPLICIT_KEY: 'a second "key:" in one line, or a line indented below a key that has its value already',
  MULTILINE_IMPLICIT_KEY: 'a line of text without ": " after it, where a key should be',
  TAB_AS_INDENT: 'the line is indented by a tab, and YAML takes only spaces there',
  TAG_RESOLVE_FAILED: 'the tag does not go with the value',
  KEY_OVER_1024_CHARS: 'the key is longer than 1,024 characters',
};

/** What is wrong with the syntax, without its place. */
export function inPlainWords({ code, message }: YAMLError): string {
  if (code === 'MISSING_CHAR' && /^Missing closing ["']/.test(message)) {
    return 'the text in quotes is not closed, or goes on in a line that is not indented below its key';
  }
  if (message.startsWith('Sequence item without - ')) {
    return 'the line is indented less than the item of a list that it belongs to, or has no "- "';
  }
  if (message.endsWith('must start at the same column')) return 'the line is indented unlike those that it belongs to';
  return PLAIN[code] ?? message;
}
