import { isObject } from '../contract/json.ts';
import { lineAt, lineStarts, policyInConfigMap } from './configMap.ts';
import { crossCheck } from './crossChecks.ts';
import { type Problem, readYaml, type YamlText } from './document.ts';
import { PolicyError, type PolicyIssue } from './error.ts';
import { describe, flatten, formatPath, type ShapeProblem } from './messages.ts';
import type { Policy } from './policy.ts';
import { policySchema } from './schema.ts';

/** UTF-16 code units. A ConfigMap holds 1 MiB at most, all its keys together. */
export const MAX_POLICY_LENGTH = 2 ** 20;

/**
 * Reads a policy: the YAML of one, or a ConfigMap manifest that holds it under `policy.yaml`. Throws a PolicyError with everything that
 * is wrong with it, and nothing else, whatever the text.
 */
export function parsePolicy(source: string, { file = 'policy.yaml' }: { file?: string } = {}): Policy {
  if (source.length > MAX_POLICY_LENGTH) {
    throw new PolicyError(file, [
      issueAt(1, 1, `is ${source.length} characters long; a policy has ${MAX_POLICY_LENGTH} at most`),
    ]);
  }
  const text = source.replace(/^\uFEFF/, '');
  const yaml = readYaml(text);
  const embedded = policyInConfigMap(text, yaml);
  if (embedded === undefined) return check(yaml, (problems) => new PolicyError(file, toIssues(text, problems)));
  if ('problem' in embedded) {
    const problem: Problem = { offset: yaml.locate(['data'], 'key'), path: [], message: embedded.problem };
    throw new PolicyError(file, toIssues(text, [...yaml.problems, problem]));
  }
  const innerStarts = lineStarts(embedded.text);
  const outward = ({ offset, path, message }: Problem): Problem => {
    const outer = embedded.toOuter(offset);
    if (outer !== undefined) return { offset: outer, path, message };
    return {
      offset: embedded.offset,
      path,
      message: `${message} (line ${lineAt(innerStarts, offset) + 1} of the policy)`,
    };
  };
  const policy = check(readYaml(embedded.text), (problems) => {
    return new PolicyError(file, toIssues(text, [...yaml.problems, ...problems.map(outward)]));
  });
  if (yaml.problems.length > 0) throw new PolicyError(file, toIssues(text, yaml.problems));
  return policy;
}

function check(yaml: YamlText, failure: (problems: readonly Problem[]) => PolicyError): Policy {
  if (yaml.value === undefined) throw failure(yaml.problems);
  if (!isObject(yaml.value)) {
    throw failure([
      ...yaml.problems,
      { offset: yaml.locate([]), path: [], message: 'expected a policy: a mapping of keys to values' },
    ]);
  }
  const parsed = policySchema.safeParse(yaml.value, { error: describe, reportInput: true, jitless: true });
  const problems = [...(parsed.error?.issues ?? []).flatMap((issue) => flatten(issue)), ...crossCheck(yaml.value)];
  if (parsed.success && problems.length === 0 && yaml.problems.length === 0) return parsed.data;
  throw failure([...yaml.problems, ...problems.map((problem) => located(yaml, problem))]);
}

const located = (yaml: YamlText, { path, message, at }: ShapeProblem): Problem => ({
  offset: yaml.locate(path, at),
  path,
  message,
});

function toIssues(text: string, problems: readonly Problem[]): readonly PolicyIssue[] {
  const starts = lineStarts(text);
  const inOrder = problems.toSorted((a, b) => a.offset - b.offset);
  const issues = inOrder.map(({ offset, path, message }) => {
    const line = lineAt(starts, Math.min(offset, text.length));
    return { ...issueAt(line + 1, offset - (starts[line] ?? 0) + 1, message), path: formatPath(path) };
  });
  return [...new Map(issues.map((issue) => [JSON.stringify(issue), issue])).values()];
}

const issueAt = (line: number, column: number, message: string): PolicyIssue => ({ line, column, path: '', message });
