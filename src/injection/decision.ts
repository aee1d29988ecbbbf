import type { JsonObject } from '../contract/json.ts';
import { type Finding, finding } from '../contract/reasons.ts';
import { didYouMeanOr, quote } from '../contract/suggest.ts';
import { allowedBy, type Policy, type Rule, type Subject, whoMay } from '../policy/index.ts';
import { describeWant, exposuresOf } from './features/index.ts';
import type { Ask } from './intent.ts';
import { forbiddenByPodSecurity } from './pod-security.ts';
import { objectIn } from './shape.ts';

/** The rule that gives what is asked, or why it is not given. */
export type Decision = { readonly rule: string } | { readonly refusal: Finding };

export interface Circumstances {
  readonly policy: Policy;
  /** Those that match the subject. */
  readonly rules: readonly Rule[];
  readonly subject: Subject;
  /** Of the pod, as it came. */
  readonly spec: JsonObject;
}

/** Whether the policy lets the subject have it, and such a pod can. */
export function decide(ask: Ask, { policy, rules, subject, spec }: Circumstances): Decision {
  const { annotation, want } = ask;
  const refusal = unknownClass(ask, policy) ?? impossible(ask, spec);
  if (refusal) return { refusal };
  if (ask.defaultOf !== undefined) {
    const refusal = forbiddenByPodSecurity(exposuresOf(want), subject.namespace, subject.namespaceLabels);
    return refusal ? { refusal } : { rule: ask.defaultOf };
  }
  const rule = allowedBy(rules, want);
  if (rule) return { rule: rule.name };
  return {
    refusal: finding(`${want.feature}_not_allowed`, {
      annotation,
      what: quote('class' in want ? want.class : describeWant(want)),
      namespace: subject.namespace,
      serviceAccount: subject.serviceAccount,
      hint: whoMay(policy, want, subject),
    }),
  };
}

function unknownClass({ annotation, want }: Ask, policy: Policy): Finding | undefined {
  if (want.feature !== 'media' && want.feature !== 'devices') return undefined;
  const classes = want.feature === 'media' ? policy.mediaClasses : policy.deviceClasses;
  const known = classes.map(({ name }) => name);
  if (known.includes(want.class)) return undefined;
  const kind = want.feature === 'media' ? 'media class' : 'device class';
  const what = `the ${kind} ${quote(want.class)}`;
  return finding('class_unknown', { annotation, what, hint: didYouMeanOr(want.class, known) });
}

/** What no policy can make work in such a pod. */
function impossible({ annotation, want }: Ask, spec: JsonObject): Finding | undefined {
  const windows = windowsMark(spec);
  if (windows) return finding('windows_pod', { annotation, how: windows });
  if (spec['hostUsers'] !== false) return undefined;
  const why = want.feature === 'uevents' ? NO_EVENTS : NOT_IDMAPPED[want.feature];
  return why === undefined ? undefined : finding('host_users_false', { annotation, why });
}

function windowsMark(spec: JsonObject): string | undefined {
  if (objectIn(spec, 'os', 'spec')?.['name'] === 'windows') return 'spec.os.name: windows';
  const windowsOptions = objectIn(
    objectIn(spec, 'securityContext', 'spec') ?? {},
    'windowsOptions',
    'spec.securityContext',
  );
  if (windowsOptions?.['hostProcess'] === true) return 'windowsOptions.hostProcess: true';
  if (objectIn(spec, 'nodeSelector', 'spec')?.['kubernetes.io/os'] === 'windows') return 'by its nodeSelector';
  return undefined;
}

/** The kubelet has every volume of a user-namespaced pod idmapped, which these file systems do not support (EINVAL). */
const NOT_IDMAPPED: Readonly<Record<string, string>> = {
  lxcfs: 'its volumes are idmapped, and the file system of lxcfs cannot be, so that the pod would never start',
  dev: 'its volumes are idmapped, and devtmpfs cannot be, so that the pod would never start',
};
const NO_EVENTS = "the kernel sends no device events into a user namespace's own network namespace";
