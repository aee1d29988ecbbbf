import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseDocument, stringify } from 'yaml';
import { injectManifest } from '../../src/injection/index.ts';
import { parsePolicy } from '../../src/policy/index.ts';
import { type Case, loadCases } from './case.ts';

const cases = loadCases();
const update = process.env['GOLDEN_UPDATE'] === '1';

describe('golden cases', () => {
  it('are at least sixty', () => expect(cases.length).toBeGreaterThanOrEqual(60));

  describe.each(cases)('$name', (golden) => {
    const policy = parsePolicy(readFileSync(golden.policy, 'utf8'), { file: golden.policy });
    const context = { namespace: golden.namespace, namespaceLabels: golden.namespaceLabels };

    it.runIf(update)('is written anew', () => rewrite(golden, injectManifest(golden.input, context, policy)));

    it('comes out of the core as it says', () => {
      const { object, warnings, denials } = injectManifest(golden.input, context, policy);
      expect(warnings.map(({ reason }) => reason)).toEqual(golden.warnings);
      expect(denials.map(({ reason }) => reason)).toEqual(golden.denials);
      if (golden.output === golden.input) expect(object).toBe(golden.input);
      else expect(object).toEqual(golden.output);
      const said = [...warnings, ...denials].map(({ message }) => message).join('\n');
      for (const message of golden.messages) expect(said).toContain(message);
    });

    it('does not change the second time', () => {
      const again = injectManifest(golden.output, context, policy);
      expect(again.object).toBe(golden.output);
      expect(again.warnings.map(({ reason }) => reason)).toEqual(golden.warnings);
    });
  });
});

/** Keeps the comment and the input as they are. */
function rewrite(golden: Case, result: ReturnType<typeof injectManifest>): void {
  const [head = '', input = ''] = readFileSync(golden.file, 'utf8').split(/^---\n/m);
  const document = parseDocument(head);
  const reasons = (found: typeof result.warnings) =>
    document.createNode(
      found.map(({ reason }) => reason),
      { flow: true },
    );
  for (const key of ['warnings', 'denials'] as const) {
    if (result[key].length > 0) document.set(key, reasons(result[key]));
    else document.delete(key);
  }
  const output = result.object === golden.input ? '' : `---\n${stringify(result.object, { lineWidth: 0 })}`;
  writeFileSync(golden.file, `${document.toString({ lineWidth: 0 })}---\n${input}${output}`);
}
