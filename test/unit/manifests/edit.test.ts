import { describe, expect, it } from 'vitest';
import { editManifest } from '../../../src/commands/inject/edit.ts';
import { parseManifests } from '../../../src/commands/inject/manifests.ts';
import type { JsonObject } from '../../../src/contract/json.ts';

// biome-ignore lint/suspicious/noExplicitAny: the changes below reach deep into documents that the tests write themselves
type Editable = any;

function edited(text: string, change: (object: Editable) => void): string {
  const { manifests, problems } = parseManifests({ name: 'test.yaml', text });
  expect(problems).toEqual([]);
  return manifests
    .map((manifest) => {
      if (!manifest.value) return manifest.text;
      const after: Editable = structuredClone(manifest.value);
      change(after);
      return editManifest(manifest, after as JsonObject);
    })
    .join('');
}

const addVolume = (pod: Editable) => {
  pod.spec.volumes = [...(pod.spec.volumes ?? []), { name: 'm', emptyDir: {} }];
};

describe('editManifest', () => {
  it('leaves alignment, quoting, blank lines, long lines and number formats of everything else alone', () => {
    const text = `apiVersion:  v1     # aligned
kind:        Pod


spec:
  containers:
  - { name: a,image: 'b' }
  mode: 0644
  ratio: 1.50
  long: ${'word '.repeat(60)}word
  volumes:
  # data first
  - name: "data"   # quoted
  # more to come
# the end
`;
    expect(edited(text, addVolume)).toBe(text.replace('# quoted\n', '# quoted\n  - name: m\n    emptyDir: {}\n'));
  });

  it('indents as the document does', () => {
    const text = 'spec:\n    volumes:\n        - name: data\n    containers:\n        - name: a\n';
    expect(edited(text, (pod) => (pod.spec.containers[0].volumeMounts = [{ name: 'm', mountPath: '/m' }]))).toBe(
      `${text}          volumeMounts:\n              - name: m\n                mountPath: /m\n`,
    );
  });

  it.each([
    ['nothing', '', ''],
    ['a comment', ' # none yet', ' # none yet'],
    ['null', ' null', ''],
    ['~ and a comment', ' ~  # none', '  # none'],
    ['{}', ' {}', ''],
    ['{} and a comment', ' {}  # none', '  # none'],
  ])('opens a mapping in place of %s', (_, before, after) => {
    const text = `metadata:\n  annotations:${before}\n  name: a\n`;
    const expected = `metadata:\n  annotations:${after}\n    k: v\n  name: a\n`;
    expect(edited(text, (pod) => (pod.metadata.annotations = { k: 'v' }))).toBe(expected);
  });

  it('opens a list in place of []', () => {
    expect(edited('spec:\n  volumes: [] # none\n  x: 1\n', addVolume)).toBe(
      'spec:\n  volumes: # none\n  - name: m\n    emptyDir: {}\n  x: 1\n',
    );
  });

  it('adds to flow collections in their line, before a trailing comma', () => {
    const text = "spec: {volumes: [ {name: data}, ], 'quoted': x} # c\n";
    expect(edited(text, addVolume)).toBe(
      "spec: {volumes: [ {name: data}, {name: m, emptyDir: {}}, ], 'quoted': x} # c\n",
    );
  });

  it('gives each item a line where a flow collection has lines', () => {
    const text = 'spec: {\n    volumes: [\n      {name: data}, # first\n    ],\n  }\n';
    expect(edited(text, addVolume)).toBe(
      'spec: {\n    volumes: [\n      {name: data},\n      {name: m, emptyDir: {}}, # first\n    ],\n  }\n',
    );
  });

  it('writes line ends as the document has them', () => {
    const text = 'spec:\r\n  volumes:\r\n  - name: data # c\r\n';
    expect(edited(text, addVolume)).toBe(`${text}  - name: m\r\n    emptyDir: {}\r\n`);
  });

  it('ends without a newline where the document does', () => {
    expect(edited('spec:\n  volumes:\n  - name: data', addVolume)).toBe(
      'spec:\n  volumes:\n  - name: data\n  - name: m\n    emptyDir: {}',
    );
  });

  it('takes removed keys away with their lines', () => {
    const text = 'metadata:\n  annotations:\n    a: x # gone\n    b:\n      - gone\n    c: y # stays\n';
    const remove = (pod: Editable) => {
      delete pod.metadata.annotations.a;
      delete pod.metadata.annotations.b;
    };
    expect(edited(text, remove)).toBe('metadata:\n  annotations:\n    c: y # stays\n');
  });

  it('replaces a scalar of any style', () => {
    const text = "a: 'x' # c\nb: |\n  two\n  lines\nc: >-\n  fold\nd: &d 1\n";
    const change = (object: Editable) => Object.assign(object, { a: 'ab', b: 'z', c: '{"json":true}', d: 2 });
    expect(edited(text, change)).toBe(`a: ab # c\nb: z\nc: '{"json":true}'\nd: 2\n`);
  });

  it('changes an anchor without changing its aliases', () => {
    const text = 'a: &x\n  k: v # kept\nb: *x\nc: *x # c\n';
    expect(edited(text, (object) => (object.b = { ...object.b, new: 1 }))).toBe(
      'a: &x\n  k: v # kept\nb:\n  k: v\n  new: 1\nc: *x # c\n',
    );
    const first = edited(text, (object) => (object.a = { ...object.a, new: 1 }));
    expect(first).toBe('a: &x\n  k: v # kept\n  new: 1\nb:\n  k: v\nc: # c\n  k: v\n');
  });

  it('overrides what a merge key brings in', () => {
    const text = 'base: &b\n  sc: {p: 1}\npod:\n  <<: *b\n  name: a\n';
    expect(edited(text, (object) => (object.pod.sc = { p: 2 }))).toBe(`${text}  sc:\n    p: 2\n`);
  });

  it.each([
    ['with two spaces', '  ', '\n'],
    ['with a tab', '\t', '\n'],
    ['with CRLF', '    ', '\r\n'],
  ])('keeps JSON as JSON, indented %s', (_, indent, eol) => {
    const json = (volumes: object[]) =>
      `${JSON.stringify({ spec: { volumes, x: [] } }, null, indent)}\n`.replaceAll('\n', eol);
    expect(edited(json([{ name: 'data' }]), addVolume)).toBe(json([{ name: 'data' }, { name: 'm', emptyDir: {} }]));
    expect(edited(json([]), addVolume)).toBe(json([{ name: 'm', emptyDir: {} }]));
  });

  it('keeps compact JSON, and numbers that JavaScript cannot hold', () => {
    expect(edited('{"big":12345678901234567890,"spec":{"volumes":[]}}', addVolume)).toBe(
      '{"big":12345678901234567890,"spec":{"volumes":[{"name":"m","emptyDir":{}}]}}',
    );
  });

  it('writes JSON anew that is no YAML', () => {
    // A key twice: the last one counts in JSON, and it is an error in YAML.
    expect(edited('{\n "a": 1,\n "a": 2\n}\n', (object) => (object.b = 3))).toBe('{\n "a": 2,\n "b": 3\n}\n');
  });

  it('keeps what stands around an object that has to be written anew', () => {
    const text = '# head\n---\na: 1\n...\n';
    const replace = (object: Editable) => {
      delete object.a;
      object.b = [1];
    };
    expect(edited(text, replace)).toBe('# head\n---\nb:\n- 1\n...\n');
    expect(edited('--- {}\n', replace)).toBe('--- \nb:\n- 1\n');
  });

  it('quotes what a YAML 1.1 parser could take for something else', () => {
    const strings = ['yes', 'no', 'on', 'y', '0644', '1_000', '22:22', '2024-01-01', '1e3', '0x1f', '~', 'null', '.5'];
    const text = edited('a: 1\n', (object) => (object.b = strings));
    expect(text).toBe(`a: 1\nb:\n${strings.map((string) => `- "${string}"\n`).join('')}`);
  });
});
