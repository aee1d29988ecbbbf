import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { JsonObject, Labels } from '../../src/contract/json.ts';

/** One file of `cases/`: what is shown, the input, and what is to come out. README.md has the format. */
export interface Case {
  readonly name: string;
  readonly file: string;
  /** The path of a policy file. */
  readonly policy: string;
  readonly namespace: string;
  readonly namespaceLabels: Labels | undefined;
  readonly input: JsonObject;
  /** The very input where the case has no third document. */
  readonly output: JsonObject;
  /** Reason codes, in order. */
  readonly warnings: readonly string[];
  readonly denials: readonly string[];
  /** Text that the messages contain. */
  readonly messages: readonly string[];
}

const HERE = import.meta.dirname;

export function loadCases(): Case[] {
  const files = readdirSync(join(HERE, 'cases')).filter((name) => name.endsWith('.yaml'));
  return files.sort().map((name) => loadCase(join(HERE, 'cases', name)));
}

interface Head {
  policy?: string;
  namespace?: string;
  namespaceLabels?: Labels | null;
  warnings?: string[];
  denials?: string[];
  messages?: string[];
}
const KEYS = ['policy', 'namespace', 'namespaceLabels', 'warnings', 'denials', 'messages'];

function loadCase(file: string): Case {
  const text = readFileSync(file, 'utf8');
  if (!text.startsWith('# ')) throw new Error(`${file}: begins with a comment that says what it shows`);
  const documents = parseAllDocuments(text).map((document) => document.toJS() as unknown);
  const [head, input, output, ...rest] = documents as [Head, JsonObject, JsonObject | undefined, ...unknown[]];
  if (!head || !input || rest.length > 0) throw new Error(`${file}: expected two or three documents`);
  const unknown = Object.keys(head).filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) throw new Error(`${file}: unknown key ${unknown[0]}`);
  return {
    name: basename(file, '.yaml'),
    file,
    policy: join(HERE, 'policies', `${head.policy ?? 'default'}.yaml`),
    namespace: head.namespace ?? 'shop',
    namespaceLabels: head.namespaceLabels === null ? undefined : (head.namespaceLabels ?? {}),
    input,
    output: output ?? input,
    warnings: head.warnings ?? [],
    denials: head.denials ?? [],
    messages: head.messages ?? [],
  };
}
