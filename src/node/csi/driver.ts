import { realpathSync, rmSync } from 'node:fs';
import { livePath, ownUsersPath } from '../../contract/paths.ts';
import { DRIVER } from '../../contract/volumes.ts';
import { exists } from '../../linux/exists.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Policy } from '../../policy/index.ts';
import { type RegistrationStatus, registrationService } from '../grpc/registration.ts';
import type { Outcome } from '../grpc/services.ts';
import { type Listening, serveOnSocket } from '../grpc/sockets.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { identityService, nodeService, type VolumeCalls } from './services.ts';
import {
  hasSourceBelow,
  isPublishedTo,
  type Owner,
  type PublishedVolume,
  podName,
  publishedVolumes,
  publishLink,
  unpublishLink,
} from './target.ts';
import { type Account, decidePublication, requireTarget } from './volumes.ts';

export interface CsiOptions {
  readonly kubeletDir: string;
  readonly runDir: Pick<RunDir, 'path' | 'work'>;
  readonly version: string;
  /** In force now. */
  readonly policy: () => Policy;
  /** Whether this node is to have an lxcfs at all. */
  readonly lxcfs: boolean;
  readonly log: Logger;
  readonly onOutcome: (outcome: Outcome) => void;
  readonly live: LiveDirectories;
  readonly podTrees: PodDirectories;
}

/** The directories of live pods, each of which is there as long as a volume of its pod is published. */
export interface LiveDirectories {
  /** Makes a pod's directory, unless it is there. @param pod `namespace/name` @throws Error of the system */
  make(podUid: string, pod: string, account: Account): void;
  /** The pod's volume has been unpublished. */
  release(podUid: string): void;
}

/** The directories of pods with users of their own, each of which is there as long as such a volume of its pod is published. */
export interface PodDirectories {
  /** Makes a class's directory of a pod, unless it is there. @throws Error of the system */
  make(podUid: string, tree: 'media' | 'media-ro', className: string): void;
  /** A volume of the pod has been unpublished. @throws Error of the system */
  release(podUid: string): void;
}

/** Which pods have their live directory published, whether or not it is there. */
export interface LivePublications {
  /** Undefined where there is no kubelet. @throws Error of the system */
  has(podUid: string): boolean | undefined;
  /** Undefined for a pod that has none, and for one of which an earlier version did not write it down. */
  ownerOf(podUid: string): Owner | undefined;
  /** UIDs. */
  all(): string[];
}

/** What `hotmount status` says of the driver. */
export interface CsiStatus {
  readonly kubeletDir: string;
  /** Whether the kubelet has taken the driver in. */
  readonly registered: boolean;
  /** Published on this node. */
  readonly volumes: number;
  readonly problem?: string;
}

/** The CSI driver of this node. */
export interface CsiDriver {
  status(): CsiStatus;
  readonly live: LivePublications;
  /** Whether a pod has a volume in the directory of its own users; undefined where there is no kubelet. @throws Error of the system */
  hasOwnUsers(podUid: string): boolean | undefined;
  /** `namespace/name` of a pod that has a volume of ours; undefined for others. */
  podName(podUid: string): string | undefined;
  close(): void;
}

/** The version is that of the Container Storage Interface; the kubelet compares it between drivers of one name. */
const DRIVER_INFO = { type: 'CSIPlugin', name: DRIVER, supportedVersions: ['1.0.0'] } as const;

/**
 * Serves the kubelet of this node: CSI's Identity and Node services on a socket, and the registration by which the kubelet finds it on
 * another. What there is to publish are links to the run dir; so a call takes microseconds, and nothing is remembered.
 * @throws Error that says what to do
 */
export async function startCsi(options: CsiOptions): Promise<CsiDriver> {
  const { log, runDir } = options;
  if (!exists(options.kubeletDir)) {
    const problem = `there is no kubelet directory ${options.kubeletDir}: no pod gets a volume of hotmount.io on this node (--kubelet-dir, or --no-csi where no kubelet is)`;
    log.warn(problem);
    return withoutKubelet(options.kubeletDir, problem);
  }
  const kubeletDir = realpathSync(options.kubeletDir);
  const onOutcome = (outcome: Outcome, error?: Error): void => {
    options.onOutcome(outcome);
    if (error) log[outcome.code === 'INTERNAL' ? 'error' : 'warn']({ ...outcome }, error.message);
  };
  let registration: RegistrationStatus | undefined;
  const onRegistration = (status: RegistrationStatus): void => {
    registration = status;
    if (status.registered) log.info({ driver: DRIVER }, 'the kubelet has registered the CSI driver');
    else log.error({ driver: DRIVER }, `the kubelet does not register the CSI driver: ${status.error}`);
  };
  // By the kubelet's own path, which may be another than the directory's real one.
  const registered = { ...DRIVER_INFO, endpoint: endpointIn(options.kubeletDir) };

  const servers: Listening[] = [
    await serveOnSocket(endpointIn(kubeletDir), [
      identityService(options.version, onOutcome),
      nodeService(volumeCalls(options, kubeletDir), onOutcome),
    ]),
  ];
  // The kubelet calls as soon as it sees this one.
  const registrar = registrationService(registered, onRegistration, onOutcome);
  servers.push(await serveOnSocket(registrationIn(kubeletDir), [registrar]));
  return {
    status: () => ({
      kubeletDir: options.kubeletDir,
      registered: registration?.registered ?? false,
      volumes: publishedVolumes(kubeletDir).length,
      ...problemOf(registration),
    }),
    live: livePublications(kubeletDir, runDir.path),
    hasOwnUsers: (podUid) => hasSourceBelow(kubeletDir, podUid, ownUsersPath(podUid, runDir.path)),
    podName: (podUid) => podName(kubeletDir, podUid),
    close() {
      for (const server of servers) server.close();
    },
  };
}

/** @param kubeletDir its real path */
function volumeCalls(options: CsiOptions, kubeletDir: string): VolumeCalls {
  const { log, runDir, live, podTrees } = options;
  return {
    publish(request) {
      const circumstances = { kubeletDir: options.kubeletDir, runDir, policy: options.policy(), lxcfs: options.lxcfs };
      const { target, source, pod, volume, account } = decidePublication(request, circumstances);
      if (volume.gives === 'live') live.make(target.podUid, pod, account);
      if (volume.gives === 'media' && volume.ownUsers) {
        podTrees.make(target.podUid, volume.readOnly ? 'media-ro' : 'media', volume.class);
      }
      const made = publishLink(kubeletDir, target, source, { pod, serviceAccount: account.serviceAccount });
      log[made ? 'info' : 'debug']({ pod, podUid: target.podUid, volume: target.volume, source }, 'published');
    },
    unpublish(request) {
      const target = requireTarget(options.kubeletDir, request.targetPath);
      const pod = podName(kubeletDir, target.podUid);
      const was = unpublishLink(kubeletDir, target);
      live.release(target.podUid);
      podTrees.release(target.podUid);
      log[was ? 'info' : 'debug']({ pod, podUid: target.podUid, volume: target.volume }, 'unpublished');
    },
  };
}

function livePublications(kubeletDir: string, runDir: string): LivePublications {
  const isLive = ({ podUid, source }: PublishedVolume): boolean => source === livePath(podUid, runDir);
  return {
    has: (podUid) => isPublishedTo(kubeletDir, podUid, livePath(podUid, runDir)),
    ownerOf(podUid) {
      const volume = publishedVolumes(kubeletDir, podUid).find(isLive);
      if (volume?.serviceAccount === undefined) return undefined;
      return { pod: volume.pod, serviceAccount: volume.serviceAccount };
    },
    all: () =>
      publishedVolumes(kubeletDir)
        .filter(isLive)
        .map(({ podUid }) => podUid),
  };
}

const endpointIn = (kubeletDir: string): string => `${kubeletDir}/plugins/${DRIVER}/csi.sock`;
const registrationIn = (kubeletDir: string): string => `${kubeletDir}/plugins_registry/${DRIVER}-reg.sock`;

/** Takes the driver away from the kubelet for good: no daemon does that at its end. */
export function removeDriver(kubeletDir: string): void {
  for (const socket of [registrationIn(kubeletDir), endpointIn(kubeletDir)]) rmSync(socket, { force: true });
}

function problemOf(registration: RegistrationStatus | undefined): { problem?: string } {
  if (registration === undefined) return { problem: 'the kubelet has not called yet: is it running?' };
  return registration.registered
    ? {}
    : { problem: `the kubelet does not register the CSI driver: ${registration.error}` };
}

const withoutKubelet = (kubeletDir: string, problem: string): CsiDriver => ({
  status: () => ({ kubeletDir, registered: false, volumes: 0, problem }),
  live: { has: () => undefined, ownerOf: () => undefined, all: () => [] },
  hasOwnUsers: () => undefined,
  podName: () => undefined,
  close() {},
});
