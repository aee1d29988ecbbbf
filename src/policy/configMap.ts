import { isMap, isScalar, type Scalar } from 'yaml';
import { isObject } from '../contract/json.ts';
import type { YamlText } from './document.ts';

/** The key of the ConfigMap under which the policy lies. */
export const POLICY_KEY = 'policy.yaml';

/** A policy text inside another text, with the way back from a position in it to one in the other. */
export interface Embedded {
  readonly text: string;
  /** Offsets in, offsets out; undefined where the outer text has no such place, as in a quoted or folded scalar. */
  toOuter(offset: number): number | undefined;
  /** Where the embedded text begins in the outer one. */
  readonly offset: number;
}

/** The policy of a ConfigMap manifest; a problem where the manifest has none; undefined where the text is no ConfigMap. */
export function policyInConfigMap(outer: string, yaml: YamlText): Embedded | { problem: string } | undefined {
  if (!isObject(yaml.value) || yaml.value['kind'] !== 'ConfigMap') return undefined;
  const data = yaml.value['data'];
  const text = isObject(data) && Object.hasOwn(data, POLICY_KEY) ? data[POLICY_KEY] : undefined;
  if (typeof text !== 'string') {
    const keys = isObject(data) ? Object.keys(data).slice(0, 10).join(', ') : '';
    return { problem: `this ConfigMap has no text under data["${POLICY_KEY}"]${keys && `; its keys are ${keys}`}` };
  }
  const offset = yaml.locate(['data', POLICY_KEY]);
  const scalar = dataScalar(yaml);
  const toOuter = scalar?.type === 'BLOCK_LITERAL' ? blockMap(outer, text, offset) : () => undefined;
  return { text, offset, toOuter };
}

function dataScalar({ root }: YamlText): Scalar | undefined {
  const data = isMap(root) ? root.get('data', true) : undefined;
  const node = isMap(data) ? data.get(POLICY_KEY, true) : undefined;
  return isScalar(node) ? node : undefined;
}

/** A literal block keeps its lines: each is the outer one less the indentation, from the line after the `|` on. */
function blockMap(outer: string, inner: string, header: number): (offset: number) => number | undefined {
  const outerStarts = lineStarts(outer);
  const innerStarts = lineStarts(inner);
  const first = lineAt(outerStarts, header) + 1;
  return (offset) => {
    const line = lineAt(innerStarts, offset);
    const start = outerStarts[first + line];
    if (start === undefined) return undefined;
    const outerLine = lineText(outer, start);
    const innerLine = lineText(inner, innerStarts[line] ?? 0);
    if (!outerLine.endsWith(innerLine)) return undefined;
    return start + outerLine.length - innerLine.length + (offset - (innerStarts[line] ?? 0));
  };
}

export function lineStarts(text: string): readonly number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}

/** The index of the line that holds the offset. */
export function lineAt(starts: readonly number[], offset: number): number {
  let [low, high] = [0, starts.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

function lineText(text: string, start: number): string {
  const end = text.indexOf('\n', start);
  return text.slice(start, end < 0 ? text.length : end).replace(/\r$/, '');
}
