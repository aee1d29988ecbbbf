import type { ErrorCode, YAMLError } from 'yaml';

/** What the parser says in words of its own, said in those of who has written the text. */
const BY_CODE: Partial<Record<ErrorCode, string>> = {
  NON_STRING_KEY: 'a key is a list or a mapping, and Kubernetes takes only text there',
  DUPLICATE_KEY: 'the key is there twice in one mapping',
  BLOCK_AS_IMPLICIT_KEY: 'a second "key:" in one line, or a line indented below a key that has its value already',
  MULTILINE_IMPLICIT_KEY: 'a line of text without ": " after it, where a key should be',
  BLOCK_IN_FLOW: 'a second "key:" without a comma before it, or a "- " in brackets',
  TAB_AS_INDENT: 'the line is indented by a tab, and YAML takes only spaces there',
  TAG_RESOLVE_FAILED: 'the tag does not go with the value',
  KEY_OVER_1024_CHARS: 'the key is longer than 1,024 characters',
  BAD_DQ_ESCAPE:
    'a "\\" in double quotes begins an escape that YAML does not know: write "\\\\" for one, or use single quotes',
  MULTIPLE_ANCHORS: 'a value has two anchors (&name)',
  MULTIPLE_TAGS: 'a value has two tags (!name)',
};

/** For codes that stand for several mistakes: those of these whose message begins, or ends, like that. */
const BY_MESSAGE: readonly (readonly [RegExp, string])[] = [
  [
    /^Missing closing ["']/,
    'the text in quotes is not closed, or goes on in a line that is not indented below its key',
  ],
  [/^Flow map .*end with a \}$/, 'the "{" is not closed, or goes on in a line that is not indented below its key'],
  [/^Flow sequence .*end with a \]$/, 'the "[" is not closed, or goes on in a line that is not indented below its key'],
  [/^Missing , or : between flow/, 'a comma or a ":" is missing'],
  [/^Unexpected , in flow/, 'there is nothing before the comma'],
  [/^Sequence item without - /, 'the line is indented less than the item of a list that it belongs to, or has no "- "'],
  [/must start at the same column$/, 'the line is indented unlike those that it belongs to'],
  [/^Block scalar values .* must be indented$/, 'the lines of the text are not indented below its key by spaces'],
  [/^Block scalar header includes extra/, 'the text after "|" or ">" begins in the next line'],
  [/^Unexpected block-seq-ind on same line/, 'a list begins in the line after its key'],
  [/^Unexpected \S+ at node end$/, 'text after the end of the value: put quotes around all of it, or begin a new line'],
  [/^Block collection cannot start on same line/, 'the keys of a document begin in the line after its ---'],
  [/^Missing directives-end/, 'a line that begins with % is a directive, and a line --- comes after it'],
  [/alias count/i, 'its aliases (*name) stand for too much to be read'],
];

/** What is wrong with the syntax, without its place. */
export function inPlainWords({ code, message }: Pick<YAMLError, 'message'> & { code?: ErrorCode }): string {
  const [, reserved] = /^Plain value cannot start with .* (\S)$/.exec(message) ?? [];
  if (reserved !== undefined) return `text cannot begin with "${reserved}": put it in quotes`;
  const [, said] = BY_MESSAGE.find(([pattern]) => pattern.test(message)) ?? [];
  return said ?? (code && BY_CODE[code]) ?? message;
}
