import type { NodeStatus } from '../status.ts';

/** `namespace/name` by the UID of a pod; undefined for one that has no volume of ours. */
export type PodNames = (podUid: string) => string | undefined;

/** Fields of a log line, or an entry of the status, with the pod's name beside its UID. */
export function withPodName<T extends object>(fields: T, names: PodNames): T & { pod?: string } {
  const uid = 'podUid' in fields && !('pod' in fields) ? fields.podUid : undefined;
  const pod = typeof uid === 'string' ? names(uid) : undefined;
  return pod === undefined ? fields : { ...fields, pod };
}

/** The status with the names of pods, wherever it has their UIDs. */
export function withPodNames(status: NodeStatus, lookUp: PodNames): NodeStatus {
  const known = new Map<string, string | undefined>();
  const names: PodNames = (uid) => {
    if (!known.has(uid)) known.set(uid, lookUp(uid));
    return known.get(uid);
  };
  const named = <T extends object>(entries: readonly T[]): T[] => entries.map((entry) => withPodName(entry, names));
  const { lxcfs } = status;
  return {
    ...status,
    devices: status.devices.map((device) => ({ ...device, containers: named(device.containers) })),
    departed: status.departed.map((departure) => ({ ...departure, holders: named(departure.holders) })),
    ...(lxcfs && 'unhealed' in lxcfs ? { lxcfs: { ...lxcfs, unhealed: named(lxcfs.unhealed) } } : {}),
  };
}
