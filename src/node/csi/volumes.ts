import { lstatSync } from 'node:fs';
import { livePath, ownUsersPath } from '../../contract/paths.ts';
import { finding } from '../../contract/reasons.ts';
import { type OwnVolume, readVolumeAttributes, volumeName, volumePath } from '../../contract/volumes.ts';
import { isErrno } from '../../linux/errors.ts';
import { exists } from '../../linux/exists.ts';
import { type Policy, volumeRefusalByAccount } from '../../policy/index.ts';
import { CallRefused } from '../grpc/services.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import type { PublishRequest } from './messages.ts';
import { isPublished, parseTarget, type Target } from './target.ts';

export interface Circumstances {
  readonly kubeletDir: string;
  readonly runDir: Pick<RunDir, 'path' | 'work'>;
  readonly policy: Policy;
  /** Whether this node is to have an lxcfs at all. */
  readonly lxcfs: boolean;
}

/** By what the policy on a node knows a pod. */
export interface Account {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** What is to be published: a link at `target` to `source`, for `pod` (`namespace/name`). */
export interface Publication {
  readonly target: Target;
  readonly volume: OwnVolume;
  readonly account: Account;
  readonly source: string;
  readonly pod: string;
}

/** How the kubelet says whose the volume is (pkg/volume/csi/csi_mounter.go, getPodInfoAttrs). */
const INFO = 'csi.storage.k8s.io/';

/**
 * What a request comes to. The kubelet says whose the volume is, the policy whether they may have it, and the node whether it is there
 * yet: nothing is waited for. The kubelet shows a refusal in the pod's events, and tries again, later and later. @throws CallRefused
 */
export function decidePublication(request: PublishRequest, circumstances: Circumstances): Publication {
  const { kubeletDir, runDir, policy } = circumstances;
  const target = requireTarget(kubeletDir, request.targetPath);
  const attributes = Object.entries(request.volumeContext).filter(([key]) => !key.startsWith(INFO));
  const info = (key: string): string => request.volumeContext[`${INFO}${key}`] ?? '';
  const pod = { namespace: info('pod.namespace'), name: info('pod.name'), uid: info('pod.uid') };
  if (pod.namespace === '' || pod.name === '' || pod.uid === '') {
    throw new CallRefused(
      'INVALID_ARGUMENT',
      'the kubelet does not say which pod the volume is for: the CSIDriver object hotmount.io needs podInfoOnMount: true',
    );
  }
  if (pod.uid !== target.podUid) {
    throw new CallRefused('INVALID_ARGUMENT', `the target is in the directory of pod ${target.podUid}, not ${pod.uid}`);
  }
  if (info('ephemeral') !== 'true') {
    throw new CallRefused('INVALID_ARGUMENT', 'hotmount.io gives inline volumes of pods, and no persistent ones');
  }
  const read = readVolumeAttributes(Object.fromEntries(attributes));
  if ('problem' in read) {
    const { message } = finding('volume_attributes_invalid', { volume: target.volume, problem: read.problem });
    throw new CallRefused('INVALID_ARGUMENT', message);
  }
  if (!request.readOnly) {
    const { message } = finding('volume_not_read_only', { volume: target.volume });
    throw new CallRefused('INVALID_ARGUMENT', message);
  }
  const { volume } = read;
  const account = { namespace: pod.namespace, serviceAccount: info('serviceAccount.name') };
  const publication = {
    target,
    volume,
    account,
    source: sourceOf(volume, runDir.path, pod.uid),
    pod: `${pod.namespace}/${pod.name}`,
  };
  // A kubelet that starts publishes the volumes of running pods again: they keep what they have.
  if (isPublished(kubeletDir, target, publication.source, publication.pod)) return publication;
  const refusal = volumeRefusalByAccount(policy, account, { volume, name: target.volume });
  if (refusal) {
    const isUnknown = refusal.reason === 'volume_class_unknown';
    throw new CallRefused(
      isUnknown ? 'NOT_FOUND' : 'PERMISSION_DENIED',
      `${refusal.message} (the policy on this node)`,
    );
  }
  const absent = whyAbsent(volume, circumstances);
  if (absent !== undefined) throw new CallRefused('UNAVAILABLE', absent);
  return publication;
}

/** A live pod has a directory of its own, and so has one with users of its own. */
function sourceOf(volume: OwnVolume, runDir: string, podUid: string): string {
  if (volume.gives === 'live') return livePath(podUid, runDir);
  return volumePath(volume, volume.gives === 'media' && volume.ownUsers ? ownUsersPath(podUid, runDir) : runDir);
}

/** @throws CallRefused */
export function requireTarget(kubeletDir: string, path: string): Target {
  const target = parseTarget(kubeletDir, path);
  if (target) return target;
  throw new CallRefused(
    'INVALID_ARGUMENT',
    `the target path is no volume of a pod: expected ${kubeletDir}/pods/UID/volumes/kubernetes.io~csi/NAME/mount (--kubelet-dir)`,
  );
}

/** Why the volume is not available yet. Looks at directories of ours and the node's alone: no disk, and no file of lxcfs, can hang this. */
function whyAbsent(volume: OwnVolume, { runDir, lxcfs }: Circumstances): string | undefined {
  const name = volumeName(volume);
  switch (volume.gives) {
    case 'lxcfs':
      if (!lxcfs) return `${name} is not available: hotmount runs without lxcfs on this node (--lxcfs off)`;
      return isThere(`${runDir.work}/lxcfs`)
        ? undefined
        : `${name} is not there yet: lxcfs is starting on this node; hotmount status there says how it stands`;
    case 'media':
    case 'devices':
      return exists(volumePath(volume, runDir.work))
        ? undefined
        : `${name} is not there yet: hotmount is starting on this node`;
    case 'udev':
      return isThere(`/proc/1/root${volumePath(volume)}`) || isThere(volumePath(volume))
        ? undefined
        : `${name} is not available: this node has no udev database at /run/udev; is systemd-udevd running?`;
    // Made when it is published.
    case 'live':
    case 'dev':
      return undefined;
  }
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    // EACCES: /proc/1/root may be closed to a daemon in a user namespace.
    if (isErrno(error, 'ENOTDIR', 'EACCES')) return false;
    throw error;
  }
}
