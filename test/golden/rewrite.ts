import { readFileSync, writeFileSync } from 'node:fs';
import { Document, isCollection, parseDocument, visit } from 'yaml';
import type { Finding } from '../../src/contract/reasons.ts';
import type { ManifestResult } from '../../src/injection/index.ts';
import type { Case } from './case.ts';

/** Writes a case's warnings, denials and output anew; its comments, its other keys and its input stay as they are. */
export function rewrite(golden: Case, result: ManifestResult): void {
  const [head = '', input = ''] = readFileSync(golden.file, 'utf8').split(/^---\n/m);
  const document = parseDocument(head);
  const codes = (findings: readonly Finding[]) =>
    document.createNode(
      findings.map(({ reason }) => reason),
      { flow: true },
    );
  for (const key of ['warnings', 'denials'] as const) {
    if (result[key].length > 0) document.set(key, codes(result[key]));
    else document.delete(key);
  }
  const output = result.object === golden.input ? '' : `---\n${compact(result.object)}`;
  writeFileSync(golden.file, `${document.toString({ lineWidth: 0 })}---\n${input}${output}`);
}

const FLOW_WIDTH = 90;

/** YAML as people write manifests: what is small on one line, and nothing that kubectl, with its YAML 1.1, would read otherwise. */
function compact(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false, compat: 'yaml-1.1' });
  visit(document, {
    Collection(_, node) {
      if (JSON.stringify(node.toJSON()).length > FLOW_WIDTH) return undefined;
      node.flow = true;
      return visit.SKIP;
    },
  });
  if (isCollection(document.contents)) document.contents.flow = false;
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}
