import type { Labels } from '../../contract/json.ts';
import { hasNamespace } from './asks.ts';
import { cut } from './documents.ts';
import type { InputFile, Source } from './inputs.ts';
import { readManifests } from './manifests.ts';
import { namespaceLabelsIn, objectsIn } from './objects.ts';

/** What has to be known of all files before the first document of them is written. */
export interface Survey {
  /** Of the Namespaces among the manifests, by name. */
  readonly namespaceLabels: ReadonlyMap<string, Labels>;
  /** JSON objects may follow each other, but not in a stream with YAML. */
  readonly hasYaml: boolean;
}

/** What cannot be read is left out: whoever reads it again says so. */
export function survey(inputs: readonly InputFile[]): Survey {
  const namespaceLabels = new Map<string, Labels>();
  let hasYaml = false;
  for (const input of inputs) {
    const documents = cutReadable(input);
    hasYaml ||= documents.some(({ format }) => format === 'yaml');
    for (const document of documents) {
      if (!hasNamespace(document.text)) continue;
      const values = readManifests(document).manifests.flatMap(({ value }) => (value ? objectsIn(value) : []));
      for (const [name, labels] of namespaceLabelsIn(values)) namespaceLabels.set(name, labels);
    }
  }
  return { namespaceLabels, hasYaml };
}

function cutReadable({ read }: InputFile) {
  let source: Source;
  try {
    source = read();
  } catch {
    return [];
  }
  return cut(source);
}
