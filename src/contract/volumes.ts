import { devicesPath, livePath, lxcfsPath, mediaPath, RUN_DIR } from './paths.ts';
import { isClassName, LXCFS_VIEW_NAMES, LXCFS_VIEWS, type LxcfsView } from './wants.ts';

/** The CSI driver's name: of the CSIDriver object, and of what the node daemon registers with the kubelet. */
export const DRIVER = 'hotmount.io';

/** How the webhook writes hotmount volumes: as inline volumes of the CSI driver, or as hostPath volumes for nodes without it. */
export const VOLUME_KINDS = ['csi', 'hostPath'] as const;
export type VolumeKind = (typeof VOLUME_KINDS)[number];

/** What a hotmount volume gives a pod. */
export type OwnVolume =
  | {
      readonly gives: 'media';
      readonly class: string;
      readonly readOnly: boolean;
      /** The pod has `hostUsers: false`: it gets a directory of its own, in which disks are shown by its users' ids. By CSI alone. */
      readonly ownUsers?: true;
    }
  | { readonly gives: 'devices'; readonly class: string }
  | { readonly gives: 'lxcfs'; readonly view: LxcfsView }
  /** The node's /dev. */
  | { readonly gives: 'dev' }
  /** The node's udev database. */
  | { readonly gives: 'udev' }
  /** A directory of the pod's own, in which classes come and go with its annotations. By CSI alone. */
  | { readonly gives: 'live' };

/** The prefix of the names of hotmount volumes, by which a second pass finds them. */
export const OWN_VOLUME = 'hotmount-';

/** The downwardAPI volume by which the kubelet tells the node a live pod's annotations as they change: its name, and the file in it. */
export const LIVE_ANNOTATIONS = { volume: `${OWN_VOLUME}live-annotations`, file: 'annotations' } as const;
/** Where a live pod has that volume, in its directory: kubelets set up only what some container mounts. */
export const LIVE_ANNOTATIONS_DIRECTORY = '.annotations';

/** The name of the volume in the pod. */
export function volumeName(volume: OwnVolume): string {
  switch (volume.gives) {
    case 'media':
      return `${OWN_VOLUME}${volume.readOnly ? 'ro-' : ''}media-${volume.class}`;
    case 'devices':
      return `${OWN_VOLUME}devices-${volume.class}`;
    case 'lxcfs':
      return `${OWN_VOLUME}lxcfs-${volume.view}`;
    default:
      return `${OWN_VOLUME}${volume.gives}`;
  }
}

/**
 * Where on the node it is. The node's own directories are the same whatever the run dir. Of `live`, it is where the pods have theirs,
 * each by its UID.
 */
export function volumePath(volume: OwnVolume, runDir: string = RUN_DIR): string {
  switch (volume.gives) {
    case 'media':
      return mediaPath(volume.class, volume.readOnly, runDir);
    case 'devices':
      return devicesPath(volume.class, runDir);
    case 'lxcfs':
      return lxcfsPath(LXCFS_VIEWS[volume.view], runDir);
    case 'dev':
      return '/dev';
    case 'udev':
      return '/run/udev';
    case 'live':
      return livePath(undefined, runDir);
  }
}

/** The inverse of `volumePath`, for what is below the run dir: the rest of the path, `/media/usb`. Undefined where that is no volume. */
export function readVolumePath(below: string): OwnVolume | undefined {
  const [, directory = '', name = '', ...more] = below.split('/');
  if (directory === 'lxcfs') {
    const view = LXCFS_VIEW_NAMES.find((known) => `/lxcfs${LXCFS_VIEWS[known]}` === below);
    return view && { gives: 'lxcfs', view };
  }
  if (more.length > 0 || !isClassName(name)) return undefined;
  if (directory === 'media' || directory === 'media-ro') {
    return { gives: 'media', class: name, readOnly: directory === 'media-ro' };
  }
  return directory === 'devices' ? { gives: 'devices', class: name } : undefined;
}

/** Every view but `cpu` is a file; all else is a directory. */
export const isFileVolume = (volume: OwnVolume): boolean => volume.gives === 'lxcfs' && volume.view !== 'cpu';

/** The `volumeAttributes` of the CSI volume. */
export function volumeAttributes(volume: OwnVolume): Readonly<Record<string, string>> {
  switch (volume.gives) {
    case 'media':
      return {
        media: volume.class,
        ...(volume.readOnly ? { access: 'ro' } : {}),
        ...(volume.ownUsers ? { users: 'own' } : {}),
      };
    case 'devices':
      return { devices: volume.class };
    case 'lxcfs':
      return { lxcfs: volume.view };
    default:
      return { [volume.gives]: 'true' };
  }
}

const EXPECTED =
  'expected { media: CLASS }, { media: CLASS, access: ro } (with users: own in pods of hostUsers: false), { devices: CLASS }, { lxcfs: VIEW }, { dev: "true" }, { udev: "true" } or { live: "true" }';

/** The inverse of `volumeAttributes`. Never throws: attributes that say anything else come back as a problem, a sentence without a stop. */
export function readVolumeAttributes(
  attributes: Readonly<Record<string, unknown>>,
): { readonly volume: OwnVolume } | { readonly problem: string } {
  const { access, users, ...rest } = attributes;
  const [[gives, value] = ['', ''], ...more] = Object.entries(rest);
  if (more.length > 0 || typeof value !== 'string') return { problem: EXPECTED };
  if (access !== undefined && (gives !== 'media' || access !== 'ro')) return { problem: EXPECTED };
  if (users !== undefined && (gives !== 'media' || users !== 'own')) return { problem: EXPECTED };
  switch (gives) {
    case 'media':
      return isClassName(value)
        ? { volume: { gives, class: value, readOnly: access === 'ro', ...(users === 'own' ? { ownUsers: true } : {}) } }
        : { problem: EXPECTED };
    case 'devices':
      return isClassName(value) ? { volume: { gives, class: value } } : { problem: EXPECTED };
    case 'lxcfs': {
      const view = LXCFS_VIEW_NAMES.find((name) => name === value);
      return view ? { volume: { gives, view } } : { problem: EXPECTED };
    }
    case 'dev':
    case 'udev':
    case 'live':
      return value === 'true' ? { volume: { gives } } : { problem: EXPECTED };
    default:
      return { problem: EXPECTED };
  }
}
