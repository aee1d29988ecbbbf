import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { inPlainWords } from '../../../src/policy/yaml-problems.ts';

const said = (text: string) => {
  const [error] = parseAllDocuments(text, { prettyErrors: false }).flatMap(({ errors }) => errors);
  return error && inPlainWords(error);
};

describe('what is wrong with a YAML text is said without the words of its parser', () => {
  it.each([
    ['{"a": 1', 'the "{" is not closed'],
    ['a: {b: 1\nc: 2', 'the "{" is not closed'],
    ['a: [1, 2\nb: 3', 'the "[" is not closed'],
    ['a: [\n- b\n]', 'not indented below its key'],
    ['a: "x', 'the text in quotes is not closed'],
    ['a: "C:\\q"', 'write "\\\\" for one, or use single quotes'],
    ['a: @x', 'text cannot begin with "@": put it in quotes'],
    ['a: `x', 'text cannot begin with "`": put it in quotes'],
    ['a: %x', 'text cannot begin with "%": put it in quotes'],
    ['a: |x\n  y', 'the text after "|" or ">" begins in the next line'],
    ['a: >\n\tx', 'not indented below its key by spaces'],
    ['a: "x" y', 'text after the end of the value'],
    ['{a: 1}\nb: 2', 'text after the end of the value'],
    ['{"a" 1}', 'a comma or a ":" is missing'],
    ['{a: 1 b: 2}', 'without a comma before it'],
    ['[a, , b]', 'there is nothing before the comma'],
    ['a: - b', 'a list begins in the line after its key'],
    ['---\na: 1\n--- b: 1', 'begin in the line after its ---'],
    ['%FOO\na: 1', 'begins with % is a directive'],
    ['a: &x &y 1', 'two anchors'],
  ])('%j', (text, message) => {
    expect(said(text)).toContain(message);
  });
});
