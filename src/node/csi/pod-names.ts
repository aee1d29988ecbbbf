/** `namespace/name` by the UID of a pod; undefined for one that has no volume of ours. */
export type PodNames = (podUid: string) => string | undefined;

/** Fields of a log line, or an entry of the status, with the pod's name beside its UID. */
export function withPodName<T extends object>(fields: T, names: PodNames): T & { pod?: string } {
  const uid = 'podUid' in fields && !('pod' in fields) ? fields.podUid : undefined;
  const pod = typeof uid === 'string' ? names(uid) : undefined;
  return pod === undefined ? fields : { ...fields, pod };
}
