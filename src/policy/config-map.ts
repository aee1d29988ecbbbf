import { isMap, isScalar, type Scalar } from 'yaml';
import { isObject } from '../contract/json.ts';
import type { Problem, YamlText } from './document.ts';
import { countLines, lineText } from './lines.ts';

/** The key of the ConfigMap under which the policy lies. */
export const POLICY_KEY = 'policy.yaml';

/** A policy text inside another text. */
export interface Embedded {
  readonly text: string;
  /** A problem of the policy's text as one of the text around it. */
  readonly outward: (problem: Problem) => Problem;
}

/** The policy of a ConfigMap manifest; a problem where the manifest has none; undefined where the text is no ConfigMap. */
export function policyInConfigMap(outer: string, yaml: YamlText): Embedded | { problem: Problem } | undefined {
  if (!isObject(yaml.value) || yaml.value['kind'] !== 'ConfigMap') return undefined;
  const data = yaml.value['data'];
  const text = isObject(data) && Object.hasOwn(data, POLICY_KEY) ? data[POLICY_KEY] : undefined;
  if (typeof text !== 'string') {
    const keys = isObject(data) ? Object.keys(data).slice(0, 10).join(', ') : '';
    const message = `this ConfigMap has no text under data["${POLICY_KEY}"]${keys && `; its keys are ${keys}`}`;
    return { problem: { offset: yaml.locate(['data'], 'key'), path: [], message } };
  }
  const begin = yaml.locate(['data', POLICY_KEY]);
  const isLiteral = dataScalar(yaml)?.type === 'BLOCK_LITERAL';
  const toOuter = isLiteral ? literalBlock(outer, text, begin) : () => undefined;
  const lines = countLines(text);
  const outward = ({ offset, path, message }: Problem): Problem => {
    const found = toOuter(offset);
    if (found !== undefined) return { offset: found, path, message };
    // A quoted or folded scalar has no lines of its own to point at.
    return { offset: begin, path, message: `${message} (line ${lines.linePos(offset).line} of the policy)` };
  };
  return { text, outward };
}

function dataScalar({ root }: YamlText): Scalar | undefined {
  const data = isMap(root) ? root.get('data', true) : undefined;
  const node = isMap(data) ? data.get(POLICY_KEY, true) : undefined;
  return isScalar(node) ? node : undefined;
}

/** A literal block keeps its lines: each is the outer one less the indentation, from the line after the `|` on. */
function literalBlock(outer: string, inner: string, header: number): (offset: number) => number | undefined {
  const [outerLines, innerLines] = [countLines(outer), countLines(inner)];
  // Lines count from 1, their starts from 0: this is the index of the line after the header.
  const first = outerLines.linePos(header).line;
  return (offset) => {
    // The end of the text is that of its last line, not the beginning of whatever follows in the outer text.
    const inside = offset === inner.length && inner.endsWith('\n') ? offset - 1 : offset;
    const line = innerLines.linePos(inside).line - 1;
    const [innerStart, outerStart] = [innerLines.lineStarts[line], outerLines.lineStarts[first + line]];
    if (innerStart === undefined || outerStart === undefined) return undefined;
    const innerLine = lineText(inner, innerStart);
    const outerLine = lineText(outer, outerStart);
    if (!outerLine.endsWith(innerLine)) return undefined;
    return outerStart + outerLine.length - innerLine.length + (inside - innerStart);
  };
}
