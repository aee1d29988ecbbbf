import type { Holder } from '../../linux/holders.ts';
import { readProcessFile } from '../../linux/process-file.ts';

/** The container that a process runs in, as its cgroup's path tells; empty for a process of the node itself. */
export interface ContainerIdentity {
  readonly podUid?: string;
  /** `namespace/name`, where a volume of the pod tells it. */
  readonly pod?: string;
  readonly containerId?: string;
}

/**
 * Reads the pod's UID and the container's id from `/proc/<pid>/cgroup`. kubelet's two cgroup drivers and the runtimes spell them
 * differently: `/kubepods/burstable/pod<uid>/<id>`, `/kubepods.slice/…/kubepods-burstable-pod<uid, with _>.slice/cri-containerd-<id>.scope`.
 */
export function parseContainerCgroup(cgroup: string): ContainerIdentity {
  const podUid = /pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})/i.exec(cgroup)?.[1];
  const containerId = /(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?:\/|$)/m.exec(cgroup)?.[1];
  return {
    ...(podUid ? { podUid: podUid.replaceAll('_', '-') } : {}),
    ...(containerId ? { containerId } : {}),
  };
}

/** The container of a process; empty where it has ended, too. */
export const containerOf = (pid: number): ContainerIdentity => parseContainerCgroup(readProcessFile(pid, 'cgroup'));

/** A process that still has files open, and whose it is. */
export interface HolderReport extends Holder, ContainerIdentity {
  /** The last component of its cgroup, which names the container where Kubernetes did not start it. */
  readonly cgroup: string;
}

export function reportHolder(holder: Holder): HolderReport {
  const text = readProcessFile(holder.pid, 'cgroup');
  const paths = text
    .trim()
    .split('\n')
    .map((line) => line.split(':').slice(2).join(':'));
  const cgroup = paths.find((path) => path.length > 1) ?? '/';
  return { ...holder, ...parseContainerCgroup(text), cgroup };
}

export function describeHolder({ pid, command, path, how, podUid, containerId, cgroup }: HolderReport): string {
  const container = containerId ? `container ${containerId.slice(0, 12)}` : `cgroup ${cgroup}`;
  return `${command} (process ${pid}, ${podUid ? `pod ${podUid}, ` : ''}${container}) has ${path} ${how}`;
}
