import { isMap, isPair, isScalar, isSeq, type Node } from 'yaml';
import type { Tree } from './manifests.ts';
import { type BlockStyle, KUBECTL_STYLE } from './yaml.ts';

/** How a document is written, for what is added to it to look alike. */
export interface Style extends BlockStyle {
  readonly eol: '\n' | '\r\n';
  /** JSON, whether in a file of its own or in a stream of YAML. */
  readonly json: boolean;
  /** Between a JSON key and its value. */
  readonly colon: ': ' | ':';
  /** What JSON that has a line for each key is indented by; undefined: it has not. */
  readonly jsonIndent: string | undefined;
}

/** How the author of a document writes, as far as it shows in `text`, the whole file. */
export function styleOf({ root, base }: Tree, text: string): Style {
  const json = isMap(root) && root.flow === true && isQuoted(root.items[0]?.key);
  const column = (node: Node) => columnAt(text, (node.range?.[0] ?? 0) - base);
  const indentOf = (is: (node: unknown) => boolean) =>
    firstUnderKey(root, (parent, child) => (is(child) ? column(child) - column(parent) : undefined));
  const seqIndent = indentOf(isSeq);
  return {
    step: indentOf(isMap) ?? KUBECTL_STYLE.step,
    indentSeq: seqIndent === undefined ? KUBECTL_STYLE.indentSeq : seqIndent > 0,
    blockScalars: false,
    eol: text.includes('\r\n') ? '\r\n' : '\n',
    json,
    colon: json && !/":\s/.test(text) ? ':' : ': ',
    jsonIndent: /^\s*\{\r?\n([ \t]+)"/.exec(text)?.[1],
  };
}

const isQuoted = (key: unknown): boolean => isScalar(key) && key.type === 'QUOTE_DOUBLE';

/** The first answer that a block collection under a block mapping's key gives, depth first. */
function firstUnderKey<T>(node: unknown, answer: (parent: Node, child: Node) => T | undefined): T | undefined {
  if (!(isMap(node) || isSeq(node)) || node.flow) return undefined;
  for (const item of node.items) {
    const child = isPair(item) ? item.value : item;
    const found = isPair(item) && (isMap(child) || isSeq(child)) && !child.flow ? answer(node, child) : undefined;
    const result = found ?? firstUnderKey(child, answer);
    if (result !== undefined) return result;
  }
  return undefined;
}

/** Of an offset in its line, from 0; a byte-order mark takes no room. */
export function columnAt(text: string, offset: number): number {
  const lineStart = text.lastIndexOf('\n', offset - 1) + 1;
  return offset - lineStart - (lineStart === 0 && text.startsWith('\uFEFF') ? 1 : 0);
}
