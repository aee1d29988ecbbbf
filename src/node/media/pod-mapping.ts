import { readFileSync } from 'node:fs';
import { isErrno } from '../../linux/errors.ts';
import type { IdMapping, IdRange } from '../../linux/id-mapping.ts';

/**
 * Who the users of a pod with `hostUsers: false` are on the node, as the kubelet writes it down when it makes the pod's sandbox, after the
 * volumes (k8s.io/kubernetes pkg/kubelet/userns/userns_manager.go). Undefined as long as it has not.
 * @throws Error of the system; or where it says something else
 */
export function readPodMapping(kubeletDir: string, podUid: string): IdMapping | undefined {
  try {
    return parsePodMapping(readFileSync(`${kubeletDir}/pods/${podUid}/userns`, 'utf8'));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** Pure. @throws Error where it is no mapping */
export function parsePodMapping(text: string): IdMapping {
  const { uidMappings, gidMappings } = JSON.parse(text) as Partial<Record<string, unknown>>;
  return { uids: rangesOf(uidMappings), gids: rangesOf(gidMappings) };
}

function rangesOf(given: unknown): IdRange[] {
  if (!Array.isArray(given) || given.length === 0) throw new Error(`no mapping of ids: ${JSON.stringify(given)}`);
  return given.map(({ hostId, containerId, length }: Record<string, unknown>) => ({
    hostId: idOf(hostId),
    containerId: idOf(containerId),
    length: idOf(length),
  }));
}

function idOf(value: unknown): number {
  if (Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 32) return Number(value);
  throw new Error(`no id: ${JSON.stringify(value)}`);
}
