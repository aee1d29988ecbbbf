import { describe, expect, it } from 'vitest';
import { parseManifests, placeOf } from '../../../src/commands/inject/manifests.ts';

const parse = (text: string) => parseManifests({ name: 'web.yaml', text });
const values = (text: string) => {
  const { manifests, problems } = parse(text);
  expect(problems).toEqual([]);
  expect(manifests.map((manifest) => manifest.text).join('')).toBe(text);
  return manifests.map(({ value }) => value);
};

describe('parseManifests', () => {
  it('splits a stream without losing a byte', () => {
    expect(values('# head\n---\na: 1\n---\n# only a comment\n---\n---\nb: 2\n...\n# after\n---\nc: 3')).toEqual([
      { a: 1 },
      undefined,
      undefined,
      { b: 2 },
      { c: 3 },
    ]);
    expect(values('\uFEFF---\r\na: 1\r\n...\r\n# end\r\n')).toEqual([{ a: 1 }, undefined]);
    expect(values('')).toEqual([]);
    expect(values('# nothing\n')).toEqual([undefined]);
  });

  it('reads YAML as kubectl does: 1.2 with the booleans, octal numbers and merge keys of 1.1', () => {
    expect(
      values(
        'yes: [yes, On, n, true]\noctal: [0644, 0o644, 08, 0x1f]\nstrings: [22:22, 2024-01-01, _1, ., e1, nginx:1.25]\n',
      ),
    ).toEqual([
      {
        yes: [true, true, false, true],
        octal: [420, 420, 8, 31],
        strings: ['22:22', '2024-01-01', '_1', '.', 'e1', 'nginx:1.25'],
      },
    ]);
    expect(
      values(
        'ints: [1_000, 0b11, -0b1_1, 0B1, 0X1F, -0x1f, +0o17, -017, 0O7, 08_0]\nfloats: [1_000.5, -1_0e1_0, .5_0]\n',
      ),
    ).toEqual([{ ints: [1000, 3, -3, 1, 31, -31, 15, -15, 7, 80], floats: [1000.5, -10e10, 0.5] }]);
    expect(values('a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n')).toEqual([{ a: { x: 1, y: 2 }, b: { x: 1, y: 3 } }]);
  });

  it('reads JSON, one object or one after another', () => {
    expect(values('{"a": "}{"}\n')).toEqual([{ a: '}{' }]);
    expect(values('\uFEFF{"a": 1}{"b": "\\"{"}\n\n{"c": []}\n')).toEqual([{ a: 1 }, { b: '"{' }, { c: [] }]);
    expect(parse('{"a": 1}\n{"b": 1}').manifests.map(({ format }) => format)).toEqual(['json', 'json']);
  });

  it('reads what begins like JSON as YAML where it is that', () => {
    expect(values('{a: 1} # comment\n---\nb: 2\n')).toEqual([{ a: 1 }, { b: 2 }]);
    expect(values('{"a": 1, }\n')).toEqual([{ a: 1 }]);
    expect(parse('{"a": 1}\n---\n{"b": 1}\n').manifests.map(({ format }) => format)).toEqual(['yaml', 'yaml']);
  });

  it.each([
    ['a: 1\nb: [\n', 'web.yaml:3:1: '],
    ['a: 1\n---\nx: y: z\n', 'web.yaml:3:4: a second "key:" in one line'],
    ['a: 1\na: 2\n', 'web.yaml:2:1: the key is there twice'],
    ['a: *b\n', 'web.yaml:1:4: the alias *b has no anchor before it'],
    ['a: &b 1\nb: *b\nc: [*c]\n', 'web.yaml:3:5: the alias *c has'],
    ['a: 1\n---\n- b\n', 'web.yaml:3:1: expected a Kubernetes object, found a list'],
    ['hello\n', 'web.yaml:1:1: expected a Kubernetes object, found "hello"'],
    ['{"a": 1}\n{"b": "x" "y"}\n', 'web.yaml:2:11: '],
    ['{"a": 1', 'web.yaml:1:8: '],
    ['a: \tb\n\tc: d\n', 'web.yaml:2:'],
  ])('says where %j is wrong', (text, message) => {
    expect(parse(text).problems).toEqual([expect.stringContaining(message)]);
  });

  it('says what to do with a template', () => {
    expect(parse('metadata:\n  name: {{ .Release.Name }}\n').problems).toEqual([
      expect.stringMatching(/^web\.yaml:2:\d+: .*a template has to be rendered first/),
    ]);
  });

  it.each(['a: *\n', 'a: [x, *]\n', 'host: *.example.com\n'])('says what to do with the * in %j', (text) => {
    expect(parse(text).problems).toEqual([expect.stringMatching(/text that begins with \* has to be in quotes/)]);
  });

  it('says what may be missing where manifests follow each other without a ---', () => {
    const [problem] = parse('kind: A\nmetadata: {}\nkind: B\n').problems;
    expect(problem).toMatch(/^web\.yaml:3:1: .*a line --- between two manifests may be missing before it/);
    expect(parse('a:\n  b: 1\n  b: 2\n').problems).toEqual([expect.not.stringContaining('---')]);
  });

  it('names all documents that are wrong', () => {
    expect(parse('a: [\n---\nb: 1\n---\nc: {\n').problems).toHaveLength(2);
  });

  it('refuses aliases that expand to billions', () => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(10)}]`);
    expect(parse(`l0: &l0 [x]\n${levels.join('\n')}\n`).problems).toEqual([
      expect.stringContaining('its aliases (*name) stand for too much to be read'),
    ]);
  });

  it('reads lines that end with a CR alone, and marks that have more than --- in their line, as kubectl does', () => {
    expect(values('a: 1\rb:\r  c: "x\r    y"\r---\rd: 2\r')).toEqual([{ a: 1, b: { c: 'x y' } }, { d: 2 }]);
    expect(values('a: 1\n----- next\nb: 2\n---c: 3\nd: 4\n')).toEqual([{ a: 1 }, { b: 2 }, { d: 4 }]);
    expect(values('# head\n%YAML 1.2\n---\na: 1\n')).toEqual([{ a: 1 }]);
  });

  it('refuses an alias inside of what it stands for', () => {
    expect(parse('a: &a\n  b: *a\n').problems).toEqual(['web.yaml:2:6: the alias *a is inside what it stands for']);
  });

  it.each([
    ['YAML', `a: ${'['.repeat(20_000)}${']'.repeat(20_000)}\n`],
    ['block YAML', Array.from({ length: 5_000 }, (_, i) => `${' '.repeat(i)}a:\n`).join('')],
  ])('says of %s that it is nested too deeply', (_, text) => {
    expect(parse(text).problems).toEqual([expect.stringMatching(/^web\.yaml:\d+:\d+: it is nested too deeply/)]);
  });

  it('counts lines and columns from 1', () => {
    const source = { name: 'f', text: 'ab\ncd\r\ne' };
    expect([0, 1, 3, 7].map((offset) => placeOf(source, offset))).toEqual(['f:1:1', 'f:1:2', 'f:2:1', 'f:3:1']);
  });
});
