import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { JsonObject, Labels } from '../../src/contract/json.ts';
import type { VolumeKind } from '../../src/contract/volumes.ts';
import type { Context } from '../../src/injection/index.ts';
import { type Policy, parsePolicy } from '../../src/policy/index.ts';

/** One file of `cases/`: what is shown, the input, and what is to come out. README.md has the format. */
export interface Case {
  readonly name: string;
  readonly file: string;
  /** The path of a policy file. */
  readonly policyFile: string;
  readonly policy: Policy;
  readonly context: Context;
  readonly input: JsonObject;
  /** `input` as it stands in the file. */
  readonly inputText: string;
  /** The very input where the case has no third document. */
  readonly output: JsonObject;
  /** Reason codes, in order. */
  readonly warnings: readonly string[];
  readonly denials: readonly string[];
  /** Text that the messages contain. */
  readonly messages: readonly string[];
  /** Part of the message of the error that there is instead of an answer. */
  readonly error: string | undefined;
  /** What /mutate/workloads is told of, and what it warns of. */
  readonly operation: 'CREATE' | 'UPDATE';
  readonly workloadWarnings: readonly string[];
}

const HERE = import.meta.dirname;

export function loadCases(): Case[] {
  const files = readdirSync(join(HERE, 'cases')).filter((name) => name.endsWith('.yaml'));
  return files.sort().map((name) => loadCase(join(HERE, 'cases', name)));
}

/** The cases whose outcome is an answer rather than an error, and those that an existing object is not the point of. */
export const answered = ({ error, operation }: Case): boolean => error === undefined && operation === 'CREATE';

interface Head {
  policy?: string;
  namespace?: string;
  namespaceLabels?: Labels | null;
  volumes?: VolumeKind;
  warnings?: string[];
  denials?: string[];
  messages?: string[];
  error?: string;
  operation?: 'CREATE' | 'UPDATE';
  workloadWarnings?: string[];
}
const KEYS: readonly string[] = [
  'policy',
  'namespace',
  'namespaceLabels',
  'volumes',
  'warnings',
  'denials',
  'messages',
  'error',
  'operation',
  'workloadWarnings',
] satisfies (keyof Head)[];

function loadCase(file: string): Case {
  const text = readFileSync(file, 'utf8');
  if (!text.startsWith('# ')) throw new Error(`${file}: begins with a comment that says what it shows`);
  const documents = parseAllDocuments(text).map((document) => document.toJS() as unknown);
  const [first, input, output, ...rest] = documents as [Head | null, JsonObject, JsonObject | undefined, ...unknown[]];
  if (!input || rest.length > 0) throw new Error(`${file}: expected two or three documents`);
  const head = first ?? {};
  const unknown = Object.keys(head).filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) throw new Error(`${file}: unknown key ${unknown[0]}`);

  const policyFile = join(HERE, 'policies', `${head.policy ?? 'default'}.yaml`);
  const { warnings = [], denials = [] } = head;
  return {
    name: basename(file, '.yaml'),
    file,
    policyFile,
    policy: parsePolicy(readFileSync(policyFile, 'utf8'), { file: policyFile }),
    context: {
      namespace: head.namespace ?? 'shop',
      namespaceLabels: head.namespaceLabels === null ? undefined : (head.namespaceLabels ?? {}),
      volumes: head.volumes ?? 'csi',
    },
    input,
    inputText: text.split(/^---\n/m)[1] ?? '',
    output: output ?? input,
    warnings,
    denials,
    messages: head.messages ?? [],
    error: head.error,
    operation: head.operation ?? 'CREATE',
    workloadWarnings: head.workloadWarnings ?? [...denials.map(() => 'pods_would_be_denied'), ...warnings],
  };
}
