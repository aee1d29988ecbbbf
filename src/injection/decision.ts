import { isObject, type JsonObject } from '../contract/json.ts';
import { type Finding, finding } from '../contract/reasons.ts';
import {
  judgeWant,
  type MatchingRules,
  NamespaceLabelsUnknownError,
  type Policy,
  type Subject,
  unknownClass,
} from '../policy/index.ts';
import { describeWant, exposuresOf } from './features/index.ts';
import type { Ask } from './intent.ts';
import type { PodDraft } from './pod-draft.ts';
import { forbiddenByPodSecurity } from './pod-security.ts';
import { objectIn } from './shape.ts';

/** The rule that gives what is asked, or why it is not given. */
export type Decision = { readonly rule: string } | { readonly refusal: Finding };

export interface Circumstances {
  readonly policy: Policy;
  readonly rules: MatchingRules;
  readonly subject: Subject;
  readonly draft: PodDraft;
}

/**
 * Whether the policy lets the subject have it, and such a pod can. Throws NamespaceLabelsUnknownError where a rule that turns on them
 * might allow it, and no other does.
 */
export function decide(ask: Ask, { policy, rules, subject, draft }: Circumstances): Decision {
  const { annotation, want } = ask;
  const refusal = unknownClass(policy, ask) ?? impossible(ask, draft.spec);
  if (refusal) return { refusal };
  if (ask.defaultOf !== undefined) {
    const refusal = forbiddenByPodSecurity(exposuresOf(want, draft), subject.namespace, subject.namespaceLabels);
    return refusal ? { refusal } : { rule: ask.defaultOf };
  }
  const verdict = judgeWant(policy, rules, subject, { annotation, want, what: describeWant(want) });
  if ('perhaps' in verdict) throw new NamespaceLabelsUnknownError(subject.namespace, verdict.perhaps);
  return verdict;
}

/** What no policy can make work in such a pod. */
function impossible({ annotation, want }: Ask, spec: JsonObject): Finding | undefined {
  const windows = windowsMark(spec);
  if (windows) return finding('windows_pod', { annotation, how: windows });
  if (spec['hostUsers'] !== false) return undefined;
  const why = want.feature === 'uevents' ? NO_EVENTS : NOT_IDMAPPED[want.feature];
  return why === undefined ? undefined : finding('host_users_false', { annotation, why });
}

/** How a pod says that it is for Windows: in these words, for the message. */
function windowsMark(spec: JsonObject): string | undefined {
  if (objectIn(spec, 'os', 'spec')?.['name'] === 'windows') return 'spec.os.name: windows';
  const selector = objectIn(spec, 'nodeSelector', 'spec') ?? {};
  if (selector['kubernetes.io/os'] === 'windows' || Object.hasOwn(selector, WINDOWS_BUILD))
    return 'by its nodeSelector';
  if (needsWindowsNode(spec)) return 'by its node affinity';
  const security = objectIn(spec, 'securityContext', 'spec') ?? {};
  const windows = objectIn(security, 'windowsOptions', 'spec.securityContext');
  return windows?.['hostProcess'] === true ? 'windowsOptions.hostProcess: true' : undefined;
}

/** A label that the kubelet gives to nodes with Windows alone. */
const WINDOWS_BUILD = 'node.kubernetes.io/windows-build';

/** Terms are alternatives, of which an empty one matches no node (k8s.io/api/core/v1 NodeSelector): each of them leads to Windows. */
function needsWindowsNode(spec: JsonObject): boolean {
  const required = ['affinity', 'nodeAffinity', 'requiredDuringSchedulingIgnoredDuringExecution'].reduce<unknown>(
    (value, key) => (isObject(value) ? value[key] : undefined),
    spec,
  );
  const terms = objectsOf(required, 'nodeSelectorTerms')
    .map((term) => ({ expressions: objectsOf(term, 'matchExpressions'), fields: objectsOf(term, 'matchFields') }))
    .filter(({ expressions, fields }) => expressions.length + fields.length > 0);
  return terms.length > 0 && terms.every(({ expressions }) => expressions.some(isForWindows));
}

/** What is malformed here is for the API server to say: nothing is changed there. */
function objectsOf(parent: unknown, key: string): readonly JsonObject[] {
  const list = isObject(parent) ? parent[key] : undefined;
  return Array.isArray(list) ? list.filter(isObject) : [];
}

function isForWindows({ key, operator, values }: JsonObject): boolean {
  if (key === WINDOWS_BUILD) return operator === 'In' || operator === 'Exists';
  return (
    key === 'kubernetes.io/os' && operator === 'In' && Array.isArray(values) && values.every((v) => v === 'windows')
  );
}

/** The kubelet has every volume of a user-namespaced pod idmapped, which these file systems do not support (EINVAL). */
const NOT_IDMAPPED: Readonly<Record<string, string>> = {
  lxcfs: 'its volumes are idmapped, and the file system of lxcfs cannot be, so that the pod would never start',
  dev: 'its volumes are idmapped, and devtmpfs cannot be, so that the pod would never start',
};
const NO_EVENTS = "the kernel sends no device events into a user namespace's own network namespace";
