import { isMap, isPair, isScalar, isSeq, type Node } from 'yaml';
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

export function styleOf(root: Node | null, text: string): Style {
  const json = isMap(root) && root.flow === true && isQuoted(root.items[0]?.key);
  return {
    step: stepIn(root) ?? KUBECTL_STYLE.step,
    indentSeq: indentsSeq(root) ?? KUBECTL_STYLE.indentSeq,
    blockScalars: false,
    eol: text.includes('\r\n') ? '\r\n' : '\n',
    json,
    colon: json && !/":\s/.test(text) ? ':' : ': ',
    jsonIndent: /^\s*\{\r?\n([ \t]+)"/.exec(text)?.[1],
  };
}

const isQuoted = (key: unknown): boolean => isScalar(key) && key.type === 'QUOTE_DOUBLE';

/** The first answer that a block collection under a block mapping's key gives, depth first. */
function firstUnderKey<T>(node: unknown, answer: (parent: number, child: Node) => T | undefined): T | undefined {
  if (!(isMap(node) || isSeq(node)) || node.flow) return undefined;
  for (const item of node.items) {
    const child = isPair(item) ? item.value : item;
    const found =
      isPair(item) && (isMap(child) || isSeq(child)) && !child.flow ? answer(columnOf(node), child) : undefined;
    const result = found ?? firstUnderKey(child, answer);
    if (result !== undefined) return result;
  }
  return undefined;
}

const stepIn = (root: Node | null): number | undefined =>
  firstUnderKey(root, (parent, child) => (isMap(child) ? columnOf(child) - parent : undefined));

const indentsSeq = (root: Node | null): boolean | undefined =>
  firstUnderKey(root, (parent, child) => (isSeq(child) ? columnOf(child) > parent : undefined));

/** Of a block collection: where its keys or dashes stand, from 0. */
export const columnOf = (node: Node): number => (node.srcToken && 'indent' in node.srcToken ? node.srcToken.indent : 0);
