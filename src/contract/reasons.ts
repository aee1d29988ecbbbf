/**
 * Every decision hotmount makes about an object has one of these reasons. The code is the metric label and the word in the log; the
 * sentence, filled in, is what the user reads in an admission warning, a rejection or the command line.
 *
 * kind   refused   no policy rule allows it: the policy's onViolation says whether that denies the pod or is a warning
 *        invalid   the annotation is wrong: always a denial
 *        conflict  the API server would reject the pod, or it could not work: always a denial
 *        warning   the pod is admitted, the user should know
 *        outcome   what was done with the object as a whole
 */
export const REASONS = {
  lxcfs_not_allowed: refused('lxcfs'),
  dev_not_allowed: refused('the alias {what} for /dev'),
  media_not_allowed: refused('media class {what}'),
  devices_not_allowed: refused('device class {what}'),
  propagation_not_allowed: refused('mount propagation {what}'),
  capabilities_not_allowed: refused('capability {what}'),
  uevents_not_allowed: refused('device event access {what}'),
  privileged_not_allowed: refused('privileged'),

  annotation_unknown: {
    kind: 'invalid',
    sentence: "annotation {annotation} is not one of hotmount's{hint}",
  },
  annotation_invalid: {
    kind: 'invalid',
    sentence: 'annotation {annotation} has the value {value}: {problem}',
  },
  annotation_not_string: {
    kind: 'invalid',
    sentence: 'annotation {annotation} is {value}, and Kubernetes takes only strings there: put the value in quotes',
  },
  annotation_key_too_long: {
    kind: 'invalid',
    sentence:
      'annotation {annotation} has {length} characters after its prefix, Kubernetes allows 63: list the container in hotmount.io/containers instead, or give it a shorter name',
  },
  from_workload_invalid: {
    kind: 'invalid',
    sentence:
      'annotation hotmount.io/from-workload is written by hotmount alone and is not what it writes ({problem}): delete it',
  },
  class_unknown: {
    kind: 'invalid',
    sentence: 'annotation {annotation} names {what}, and the policy has no such class{hint}',
  },
  volume_not_found: {
    kind: 'invalid',
    sentence: 'annotation {annotation} names the volume {volume}, and the pod has none of that name{hint}',
  },

  too_much_asked: {
    kind: 'invalid',
    sentence:
      'the annotations ask for more than {limit} things, counted once for each container: name fewer containers or items',
  },

  volume_name_taken: {
    kind: 'conflict',
    sentence: 'the pod has a volume {volume} of its own, a name that {annotation} needs: rename that volume',
  },
  mount_path_taken: {
    kind: 'conflict',
    sentence:
      'container {container} already uses {path} for {taker}, where {annotation} would mount {volume}: remove that, or choose another path',
  },
  privilege_escalation_forbidden: {
    kind: 'conflict',
    sentence:
      'container {container} has allowPrivilegeEscalation: false, which the API server refuses together with {what}: remove it, or {annotation}',
  },
  privileged_false: {
    kind: 'conflict',
    sentence:
      'container {container} says privileged: false itself, against {annotation}: remove the one that is not meant',
  },
  capability_dropped: {
    kind: 'conflict',
    sentence:
      'container {container} drops the capability {what} itself, so that adding it by {annotation} has no effect: remove it from capabilities.drop',
  },
  bidirectional_needs_privileged: {
    kind: 'conflict',
    sentence:
      'container {container} is not privileged, and the API server accepts Bidirectional (of volume {volume}) only in privileged containers: use HostToContainer, or ask for hotmount.io/privileged',
  },
  dev_bidirectional: {
    kind: 'conflict',
    sentence:
      "volume {volume} is the node's {path}, and Bidirectional would let the container's mounts there break the node (containerd issue 5113): use HostToContainer",
  },
  propagation_conflict: {
    kind: 'conflict',
    sentence:
      'container {container} mounts volume {volume} at {path} with mountPropagation: {mode}, against {annotation}: remove the one that is not meant',
  },
  recursive_read_only_conflict: {
    kind: 'conflict',
    sentence:
      'container {container} mounts volume {volume} at {path} with recursiveReadOnly: {mode}, which the API server refuses together with mount propagation: remove it, or {annotation}',
  },
  own_volume: {
    kind: 'conflict',
    sentence: "volume {volume} is one of hotmount's, and its propagation is fixed: remove it from {annotation}",
  },
  windows_pod: {
    kind: 'conflict',
    sentence: 'the pod is for Windows ({how}), and {annotation} needs Linux: remove that annotation',
  },
  host_users_false: {
    kind: 'conflict',
    sentence: 'the pod has hostUsers: false, where {annotation} cannot work: {why}',
  },

  host_network_conflict: {
    kind: 'conflict',
    sentence:
      'the pod has {what}, which the API server refuses on the host network that {annotation} needs: remove it, or the annotation',
  },
  mount_path_nested: {
    kind: 'conflict',
    sentence:
      'container {container} would have {inner} inside {outer}, which is read-only, so that the mount point cannot be made and the container never starts: choose another path in {annotation}',
  },

  container_not_found: {
    kind: 'warning',
    sentence: 'annotation {annotation} names the container {container}, and the pod has none of that name{hint}',
  },
  volume_not_mounted: {
    kind: 'warning',
    sentence:
      'annotation {annotation} names the volume {volume}, which none of the containers it applies to mounts: nothing to do there',
  },
  default_skipped: {
    kind: 'warning',
    sentence: 'the default {annotation} of policy rule {rule} was left out: {why}',
  },
  opt_out_enforced: {
    kind: 'warning',
    sentence: "policy rule {rule} enforces {annotation}: what the pod's own annotations say against it has no effect",
  },
  pod_security: {
    kind: 'warning',
    sentence: 'what hotmount adds breaks the Pod Security level {level} ({fields}){consequence}',
  },
  pod_security_forbids: {
    kind: 'warning',
    sentence: 'namespace {namespace} enforces the Pod Security level {level}, which forbids {field}',
  },
  pods_would_be_denied: {
    kind: 'warning',
    sentence: 'pods of this {kind} would be denied: {why}',
  },
  namespace_labels_unknown: {
    kind: 'warning',
    sentence:
      'the labels of namespace {namespace} are not known, and policy rule {rule} depends on them: what its pods get is decided when they are created',
  },
  existing_job: {
    kind: 'warning',
    sentence:
      'the pod template of an existing Job cannot be changed, so that the hotmount.io/ annotations on Job {name} reach none of its pods: delete it and create it anew',
  },

  injected: { kind: 'outcome', sentence: 'the pod has what its annotations and the policy say' },
  carried: { kind: 'outcome', sentence: "the workload's annotations are carried to its pod template" },
  not_requested: { kind: 'outcome', sentence: 'nothing asks for hotmount' },
  nothing_to_carry: { kind: 'outcome', sentence: 'the workload has no annotations of its own to carry' },
  opted_out: { kind: 'outcome', sentence: 'hotmount.io/inject is "false"' },
  mirror_pod: { kind: 'outcome', sentence: 'mirror pods of the kubelet cannot be changed' },
  job_of_cronjob: { kind: 'outcome', sentence: 'the Job has its template, annotations included, from its CronJob' },
  unexpected_kind: { kind: 'outcome', sentence: 'the object is a {kind}, which this path has nothing to do with' },
  unexpected_operation: { kind: 'outcome', sentence: 'hotmount changes nothing in a {operation} of {kind}' },
} as const satisfies Record<string, { kind: ReasonKind; sentence: string }>;

export type ReasonKind = 'refused' | 'invalid' | 'conflict' | 'warning' | 'outcome';
export type Reason = keyof typeof REASONS;

type Placeholders<S extends string> = S extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;
export type ReasonParameters<R extends Reason> = {
  readonly [P in Placeholders<(typeof REASONS)[R]['sentence']>]: string;
};

/** One reason, about one thing, with its sentence filled in. */
export interface Finding {
  readonly reason: Reason;
  readonly message: string;
}

export function finding<R extends Reason>(reason: R, parameters: ReasonParameters<R>): Finding {
  const message = REASONS[reason].sentence.replace(/\{(\w+)\}/g, (_, name: string) =>
    printable((parameters as Readonly<Record<string, string>>)[name] ?? ''),
  );
  return { reason, message };
}

/** Names and keys are foreign: terminals obey control characters, and lists of thousands help nobody. */
const printable = (text: string): string =>
  (text.length > MAX_PARAMETER ? `${text.slice(0, MAX_PARAMETER)}…` : text).replace(
    /[\p{Cc}\p{Bidi_Control}]/gu,
    '\ufffd',
  );
const MAX_PARAMETER = 1000;

/** Whether a finding keeps the object out, rather than being a warning, under the policy's onViolation. */
export function isDenial(reason: Reason, onViolation: 'deny' | 'warn'): boolean {
  const { kind } = REASONS[reason];
  return kind === 'invalid' || kind === 'conflict' || (kind === 'refused' && onViolation === 'deny');
}

function refused<const What extends string>(what: What) {
  return {
    kind: 'refused',
    sentence: `{annotation} asks for ${what}, which no policy rule allows in namespace {namespace} for service account {serviceAccount}{hint}`,
  } as const;
}
