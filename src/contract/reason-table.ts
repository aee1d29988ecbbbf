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
  live_not_allowed: refused('live'),
  uevents_not_allowed: refused('device event access {what}'),
  privileged_not_allowed: refused('privileged'),
  bidirectional_not_allowed: {
    kind: 'refused',
    sentence:
      'container {container} may not be privileged, and so {annotation} cannot make volume {volume} Bidirectional in it',
    remedy: 'use HostToContainer',
  },

  annotation_unknown: {
    kind: 'invalid',
    sentence: 'annotation {annotation} is unknown to hotmount{hint}',
  },
  annotation_invalid: {
    kind: 'invalid',
    sentence: 'annotation {annotation} has the value {value}: {problem}',
  },
  annotation_not_string: {
    kind: 'invalid',
    sentence: 'annotation {annotation} is {value}, and Kubernetes takes only strings there',
    remedy: 'put the value in quotes',
  },
  annotation_key_too_long: {
    kind: 'invalid',
    sentence: 'annotation {annotation} has {length} characters after its prefix, and Kubernetes allows 63',
    remedy: 'list the container in hotmount.io/containers instead, or give it a shorter name',
  },
  from_workload_invalid: {
    kind: 'invalid',
    sentence: 'annotation hotmount.io/from-workload is written by hotmount alone and is not what it writes ({problem})',
    remedy: 'delete it',
  },
  class_unknown: {
    kind: 'invalid',
    sentence: 'annotation {annotation} names {what}, and the policy has no such class{hint}',
  },
  volume_attributes_invalid: {
    kind: 'invalid',
    sentence: 'volume {volume} is of the driver hotmount.io, and its volumeAttributes are none of its: {problem}',
  },
  volume_not_read_only: {
    kind: 'invalid',
    sentence: 'volume {volume} is of the driver hotmount.io and not readOnly',
    remedy: 'set csi.readOnly: true, which lets disks and devices be written to all the same',
  },
  volume_path_unknown: {
    kind: 'invalid',
    sentence: 'volume {volume} is the path {path} of the node, which belongs to hotmount and is not for pods',
    remedy: 'ask for media, devices or lxcfs by annotation',
  },
  volume_sub_path: {
    kind: 'conflict',
    sentence:
      'container {container} mounts a part (subPath) of volume {volume}, which the kubelet would keep mounted on the node when a disk or lxcfs goes',
    remedy: 'mount the whole volume',
  },
  volume_mount_path: {
    kind: 'conflict',
    sentence: 'container {container} mounts volume {volume} at {path}, which {problem}',
    remedy: 'choose another path',
  },
  volume_class_unknown: {
    kind: 'invalid',
    sentence: '{volume} is of {what}, and the policy has no such class{hint}',
  },
  volume_not_found: {
    kind: 'invalid',
    sentence: 'annotation {annotation} names the volume {volume}, and the pod has none of that name{hint}',
  },
  too_much_asked: {
    kind: 'invalid',
    sentence: 'the annotations ask for more than {limit} things, counted once for each container',
    remedy: 'name fewer containers or items',
  },

  volume_name_taken: {
    kind: 'conflict',
    sentence: 'the pod has a volume {volume} of its own, a name that {annotation} needs',
    remedy: 'rename that volume',
  },
  mount_path_taken: {
    kind: 'conflict',
    sentence: 'container {container} already uses {path} for {taker}, where {annotation} would mount {volume}',
    remedy: 'remove that, or change the annotation',
  },
  mount_path_nested: {
    kind: 'conflict',
    sentence:
      'container {container} would have {inner} inside {outer}, which is read-only, so that the mount point cannot be made and the container never starts',
    remedy: 'choose another path in {annotation}',
  },
  privilege_escalation_forbidden: {
    kind: 'conflict',
    sentence: 'container {container} has allowPrivilegeEscalation: false, which contradicts {what}',
    remedy: 'remove it, or {annotation}',
  },
  privileged_false: {
    kind: 'conflict',
    sentence: 'container {container} says privileged: false itself, against {annotation}',
    remedy: 'remove the one that is not meant',
  },
  capability_dropped: {
    kind: 'conflict',
    sentence:
      'container {container} drops the capability {what} itself, so that adding it by {annotation} has no effect',
    remedy: 'remove it from capabilities.drop',
  },
  live_needs_csi: {
    kind: 'conflict',
    sentence: '{annotation} takes a volume of the CSI driver, and hotmount writes hostPath volumes here',
    remedy: 'have an admin set volumes: csi, or remove the annotation',
  },
  bidirectional_needs_privileged: {
    kind: 'conflict',
    sentence:
      'container {container} is not privileged, and the API server accepts Bidirectional (of volume {volume}) only in privileged containers',
    remedy: 'use HostToContainer, or ask for hotmount.io/privileged',
  },
  dev_bidirectional: {
    kind: 'conflict',
    sentence:
      "volume {volume} is the node's {path}, and Bidirectional would let the container's mounts there break the node (containerd issue 5113)",
    remedy: 'use HostToContainer',
  },
  propagation_conflict: {
    kind: 'conflict',
    sentence:
      'container {container} mounts volume {volume} at {path} with mountPropagation: {mode}, against {annotation}',
    remedy: 'remove the one that is not meant',
  },
  recursive_read_only_conflict: {
    kind: 'conflict',
    sentence:
      'container {container} mounts volume {volume} at {path} with recursiveReadOnly: {mode}, which the API server refuses together with mount propagation',
    remedy: 'remove it, or {annotation}',
  },
  own_volume: {
    kind: 'conflict',
    sentence: 'volume {volume} is a hotmount volume, whose propagation is fixed',
    remedy: 'remove it from {annotation}',
  },
  windows_pod: {
    kind: 'conflict',
    sentence: 'the pod is for Windows ({how}), and {annotation} needs Linux',
    remedy: 'remove that annotation',
  },
  host_users_false: {
    kind: 'conflict',
    sentence: 'the pod has hostUsers: false, where {annotation} cannot work ({why})',
    remedy: 'remove hostUsers: false, or that annotation',
  },
  host_network_conflict: {
    kind: 'conflict',
    sentence: 'the pod has {what}, which does not go with the host network that {annotation} needs',
    remedy: 'remove it, or the annotation',
  },

  container_not_found: {
    kind: 'warning',
    sentence: 'annotation {annotation} names the container {container}, and the pod has none of that name{hint}',
  },
  volume_not_mounted: {
    kind: 'warning',
    sentence: 'annotation {annotation} names the volume {volume}, which none of the containers it applies to mounts',
    remedy: 'nothing is changed there',
  },
  default_skipped: {
    kind: 'warning',
    sentence: 'the default {annotation} of policy rule {rule} was left out, as {why}',
  },
  sandboxed_runtime: {
    kind: 'warning',
    sentence:
      'the pod runs in a sandbox (runtimeClassName: {runtime}), which the mounts and devices of the node never reach, so that {annotation} has no effect',
    remedy: 'use a runtime class of runc or crun, or remove the annotation',
  },
  mount_path_kept: {
    kind: 'warning',
    sentence:
      'container {container} keeps what it uses {path} for itself ({taker}), where {annotation} would mount {volume}',
    remedy: 'remove that to have what hotmount gives',
  },
  lxcfs_shared_pids: {
    kind: 'warning',
    sentence:
      "the pod has {field}: true, and lxcfs goes by the first process that a container sees, so that {annotation} shows {whose} values instead of the container's own",
    remedy: 'remove {field}, or the annotation',
  },
  device_directory: {
    kind: 'warning',
    sentence:
      'programs look for devices in {path}, and {annotation} puts device class {class} there, whose nodes have other names than they expect',
    remedy: 'an admin can give the class directory: {directory}',
  },
  opt_out_enforced: {
    kind: 'warning',
    sentence: "policy rule {rule} enforces {annotation}: what the pod's own annotations say against it has no effect",
  },
  pod_not_live: {
    kind: 'warning',
    sentence: 'the pod is not live, so that the change of {annotation} does nothing to it while it runs',
    remedy: 'delete it, and have it created anew; with hotmount.io/live it follows its annotations from then on',
  },
  live_no_effect: {
    kind: 'warning',
    sentence: '{annotation} is decided when a pod is created, so that the change does nothing to one that runs',
    remedy: 'delete the pod, and have it created anew',
  },
  live_path: {
    kind: 'warning',
    sentence:
      '{annotation}: the path {path} is ignored while the pod runs; the class is at {place} in its live directory',
  },
  live_annotations_awaited: {
    kind: 'warning',
    sentence: 'the kubelet has not told the node the annotations of the pod, which is starting or ending',
    remedy:
      'if this lasts, the pod lacks the volume hotmount-live-annotations: create it anew with hotmount.io/live, which adds it',
  },
  live_annotations_unreadable: {
    kind: 'warning',
    sentence:
      'the file by which the kubelet tells the node the annotations of the pod {problem}, so that it is given nothing',
    remedy: 'the volume hotmount-live-annotations must be as hotmount writes it: delete the pod',
  },
  live_rule_by_labels: {
    kind: 'warning',
    sentence:
      '{annotation} asks for {what}, which rule {rule} allows by {conditions}; a node knows neither, and does not give it to a pod that runs',
    remedy: 'delete the pod, and have it created anew, or have an admin allow it by namespaces or serviceAccounts',
  },
  live_for_one_container: {
    kind: 'warning',
    sentence:
      '{annotation} is for one container, and what a running pod is given is for all that have its live directory',
    remedy: 'leave out the name of the container, or delete the pod to have it created anew',
  },
  live_directory_lost: {
    kind: 'warning',
    sentence:
      'the live directory of the pod was lost and has been made again, and running containers still have the lost one, in which nothing comes or goes any more (container {containers})',
    remedy: 'delete the pod; a container that is restarted has the new one, too',
  },
  live_failed: {
    kind: 'warning',
    sentence: '{what} could not be given to, or taken away from, the running pod ({detail})',
    remedy:
      'it is tried again within a minute; if it lasts, hotmount status and the log of hotmount node on that node say why, and a new pod starts afresh',
  },
  pod_security: {
    kind: 'warning',
    sentence: 'what hotmount adds breaks the Pod Security level {level} ({fields}){consequence}',
  },
  pod_security_forbids: {
    kind: 'warning',
    sentence: 'namespace {namespace} enforces the Pod Security level {level}, which forbids {field}',
    remedy: 'label it pod-security.kubernetes.io/enforce=privileged',
  },
  pods_would_be_denied: {
    kind: 'warning',
    sentence: 'pods of this {kind} would be denied: {why}',
  },
  namespace_labels_unknown: {
    kind: 'warning',
    sentence: 'the labels of namespace {namespace} are not known, and policy rule {rule} depends on them',
    remedy: 'what its pods get is decided when they are created',
  },
  annotation_misplaced: {
    kind: 'warning',
    sentence: '{annotation} in {place} does nothing',
    remedy: 'write {right}',
  },
  existing_job: {
    kind: 'warning',
    sentence:
      'the pod template of an existing Job cannot be changed, so that the hotmount.io/ annotations on Job {name} reach none of its pods',
    remedy: 'delete it and create it anew',
  },

  injected: { kind: 'outcome', sentence: 'the pod has what its annotations and the policy say' },
  nothing_granted: { kind: 'outcome', sentence: 'the pod has nothing of what it asked for' },
  carried: { kind: 'outcome', sentence: "the workload's annotations are carried to its pod template" },
  volumes_allowed: { kind: 'outcome', sentence: 'the policy allows all hotmount volumes of the pod' },
  annotations_judged: { kind: 'outcome', sentence: "the running pod's annotations may be changed so" },
  not_requested: { kind: 'outcome', sentence: 'nothing asks for hotmount' },
  nothing_to_carry: { kind: 'outcome', sentence: 'the workload has no annotations of its own to carry' },
  opted_out: { kind: 'outcome', sentence: 'hotmount.io/inject is "false"' },
  mirror_pod: { kind: 'outcome', sentence: 'mirror pods of the kubelet cannot be changed' },
  job_of_cronjob: { kind: 'outcome', sentence: 'the Job has its template, annotations included, from its CronJob' },
  unexpected_kind: { kind: 'outcome', sentence: 'the object is a {kind}, which this path has nothing to do with' },
  unexpected_operation: { kind: 'outcome', sentence: 'hotmount changes nothing in a {operation} of {kind}' },
} as const satisfies Readonly<Record<string, ReasonEntry>>;

/** One row of the table. */
export interface ReasonEntry {
  readonly kind: 'refused' | 'invalid' | 'conflict' | 'warning' | 'outcome';
  readonly sentence: string;
  /** What to do about it, where the sentence's hint does not say. */
  readonly remedy?: string;
}

function refused<const What extends string>(what: What) {
  return {
    kind: 'refused',
    sentence: `{annotation} asks for ${what}, which no policy rule allows in namespace {namespace} for service account {serviceAccount}{hint}`,
  } as const;
}
