import { isObject } from '../contract/json.ts';
import { printable } from '../contract/text.ts';
import { policyInConfigMap } from './config-map.ts';
import { crossCheck } from './cross-checks.ts';
import { type Problem, readYaml, type YamlText } from './document.ts';
import { PolicyError, type PolicyIssue } from './error.ts';
import { countLines } from './lines.ts';
import { describe, flatten, formatPath, type ShapeProblem } from './messages.ts';
import type { Policy } from './policy.ts';
import { policySchema } from './schema.ts';

/** UTF-16 code units. A ConfigMap holds 1 MiB at most, all its keys together. */
const MAX_POLICY_LENGTH = 2 ** 20;

/**
 * Reads a policy: the YAML of one, or a ConfigMap manifest that holds it under `policy.yaml`. Throws a PolicyError with everything that
 * is wrong with it, and nothing else, whatever the text.
 */
export function parsePolicy(source: string, { file = 'policy.yaml' }: { file?: string } = {}): Policy {
  if (source.length > MAX_POLICY_LENGTH) {
    const issue = issueAt(1, 1, `is ${source.length} characters long; a policy has ${MAX_POLICY_LENGTH} at most`);
    throw new PolicyError(file, [issue], { text: source });
  }
  const text = source.replace(/^\uFEFF/, '');
  const { policy, problems } = readPolicy(text);
  if (policy === undefined || problems.length > 0) throw new PolicyError(file, toIssues(text, problems), { text });
  return policy;
}

interface Reading {
  /** undefined only where there are problems. */
  readonly policy?: Policy | undefined;
  readonly problems: readonly Problem[];
}

function readPolicy(text: string): Reading {
  const yaml = readYaml(text);
  const embedded = policyInConfigMap(text, yaml);
  if (embedded === undefined) return judge(yaml);
  if ('problem' in embedded) return { problems: [...yaml.problems, embedded.problem] };
  if (yaml.problems.length > 0) return yaml;
  const { policy, problems } = judge(readYaml(embedded.text));
  return { policy, problems: problems.map(embedded.outward) };
}

function judge(yaml: YamlText): Reading {
  if (yaml.value === undefined) return yaml;
  if (!isObject(yaml.value)) {
    const problem = located(yaml, { path: [], message: 'expected a policy: a mapping of keys to values' });
    return { problems: [...yaml.problems, problem] };
  }
  const parsed = policySchema.safeParse(yaml.value, { error: describe, reportInput: true, jitless: true });
  const shape = (parsed.error?.issues ?? []).flatMap((issue) => flatten(issue));
  const problems = [...shape, ...crossCheck(yaml.value)].map((problem) => located(yaml, problem));
  return { policy: parsed.data, problems: [...yaml.problems, ...problems] };
}

const located = (yaml: YamlText, { path, message, at }: ShapeProblem): Problem => ({
  offset: yaml.locate(path, at),
  path,
  message,
});

function toIssues(text: string, problems: readonly Problem[]): readonly PolicyIssue[] {
  const lines = countLines(text);
  const inOrder = problems.toSorted((a, b) => a.offset - b.offset);
  const issues = inOrder.map(({ offset, path, message }) => {
    const { line, col } = lines.linePos(offset);
    return {
      ...issueAt(line, col, printable(message)),
      path: printable(formatPath(path)),
    };
  });
  return [...new Map(issues.map((issue) => [JSON.stringify(issue), issue])).values()];
}

const issueAt = (line: number, column: number, message: string): PolicyIssue => ({ line, column, path: '', message });
