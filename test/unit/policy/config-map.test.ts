import { describe, expect, it } from 'vitest';
import { type PolicyError, parsePolicy } from '../../../src/policy/index.ts';

const POLICY = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\n\nrules:\n  - name: everyone\n    namespaces: ["*"]\n';

const manifest = (data: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hotmount-policy\ndata:\n${data}`;
const literal = (text: string, { header = '|', indent = '    ' } = {}) =>
  manifest(`  policy.yaml: ${header}\n${text.replace(/^(?=.)/gm, indent)}`);

function complaints(text: string): string[] {
  try {
    parsePolicy(text);
    return [];
  } catch (error) {
    return (error as PolicyError).issues.map(({ line, column, message }) => `${line}:${column} ${message}`);
  }
}

describe('a policy in the manifest of a ConfigMap', () => {
  it.each(['|', '|-', '|+', '| # the policy', '!!str |'])('is read from a literal block: %s', (header) => {
    expect(parsePolicy(literal(POLICY, { header }))).toEqual(parsePolicy(POLICY));
  });

  it('is read from a folded block, a quoted text and JSON', () => {
    expect(parsePolicy(manifest(`  policy.yaml: ${JSON.stringify(POLICY)}\n`))).toEqual(parsePolicy(POLICY));
    expect(parsePolicy(literal(POLICY.replaceAll('\n', '\n\n'), { header: '>' }))).toEqual(parsePolicy(POLICY));
    const json = JSON.stringify({ kind: 'ConfigMap', data: { 'policy.yaml': POLICY } });
    expect(parsePolicy(json)).toEqual(parsePolicy(POLICY));
  });

  it.each([
    ['|', '    '],
    ['|-', '  '.repeat(5)],
    ['|4', '      '],
    ['|+ # a comment', '   '],
  ])('has errors where they stand in the manifest: %s, %j', (header, indent) => {
    const text = literal(`${POLICY}    alow: {}\nfoo: 1\n`, { header, indent });
    const lines = text.split('\n');
    expect(complaints(text).map((complaint) => complaint.split(' ')[0])).toEqual([
      `${lines.findIndex((line) => line.includes('alow')) + 1}:${indent.length + 5}`,
      `${lines.findIndex((line) => line.includes('foo')) + 1}:${indent.length + 1}`,
    ]);
  });

  it('has its syntax errors where they stand in the manifest, not in what follows the policy', () => {
    const text = `${literal(`${POLICY}onViolation: [deny\n`)}  other: text\n`;
    expect(complaints(text)).toEqual([expect.stringMatching(/^13:2[34] is not YAML: /)]);
    expect(text.split('\n')[12]).toContain('[deny');
  });

  it('counts Windows line ends as editors do', () => {
    const text = literal(`${POLICY}foo: 1\n`).replaceAll('\n', '\r\n');
    expect(complaints(text)).toEqual([expect.stringMatching(/^13:5 there is no such key/)]);
  });

  it('tells the line of the policy where the manifest has no such line', () => {
    const text = manifest(`  policy.yaml: ${JSON.stringify(`${POLICY}foo: 1\n`)}\n`);
    expect(complaints(text)).toEqual([expect.stringMatching(/^6:16 there is no such key.* \(line 7 of the policy\)$/)]);
  });

  it('is not looked for in the lines of a folded block, which are not those of the policy', () => {
    const folded = POLICY.replace('kind', '# foo: 1\nfoo: 1\nkind').replaceAll('\n', '\n\n');
    expect(complaints(literal(folded, { header: '>' }))).toEqual([
      expect.stringMatching(/^6:16 there is no such key.* \(line 3 of the policy\)$/),
    ]);
  });

  it('is missed where it is not there, by the names of the keys that are', () => {
    expect(complaints(manifest('  policy: x\n'))).toEqual([
      '5:1 this ConfigMap has no text under data["policy.yaml"]; its keys are policy',
    ]);
    expect(complaints('kind: ConfigMap\n')).toEqual(['1:1 this ConfigMap has no text under data["policy.yaml"]']);
    expect(complaints('kind: ConfigMap\ndata: { policy.yaml: 1 }\n')).toEqual([
      expect.stringContaining('no text under'),
    ]);
  });

  it('is refused where the manifest says it twice', () => {
    const twice = `${literal(POLICY)}  policy.yaml: |\n    kind: Policy\n`;
    expect(complaints(twice)).toEqual(['13:3 the key "policy.yaml" is given twice']);
    expect(complaints(`${literal(POLICY)}  a: 1\n  a: 2\n`)).toEqual(['14:3 the key "a" is given twice']);
  });
});
