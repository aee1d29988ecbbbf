import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { O_DIRECTORY, O_PATH } from '../../linux/constants.ts';
import { errorCode, isErrno } from '../../linux/errors.ts';
import { exists } from '../../linux/exists.ts';
import { openBeneath } from '../../linux/mounts.ts';
import { getAttribute, setAttribute } from '../../linux/xattr.ts';

/**
 * The links that the kubelet has us publish, `<kubelet>/pods/<uid>/volumes/kubernetes.io~csi/<volume>/mount`. A link is all that is kept
 * of a volume: where it leads to says what it gives, and an attribute of it whose it is.
 */

/** Where a volume is to be, below `<kubelet>/pods`. */
export interface Target {
  readonly podUid: string;
  /** The volume's name in the pod. */
  readonly volume: string;
}

/** Whose a volume is. */
export interface Owner {
  /** `namespace/name`. */
  readonly pod: string;
  readonly serviceAccount: string;
}

/** Of the owner, on the link. `trusted`: only root on the node can write it, or read it. */
const POD = 'trusted.hotmount.pod';
const SERVICE_ACCOUNT = 'trusted.hotmount.service-account';
const CSI_VOLUMES = 'volumes/kubernetes.io~csi';
const LINK = 'mount';
const NEXT = '.mount.next';

/** UIDs of the API server, and those of static pods, which are hashes. */
const UID = /^[0-9a-f][0-9a-f-]{0,62}$/;
/** A DNS label, as Kubernetes has volume names. */
const VOLUME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** The target that a path names; undefined for every other path, whatever it would resolve to. */
export function parseTarget(kubeletDir: string, path: string): Target | undefined {
  const pods = `${kubeletDir}/pods/`;
  if (!path.startsWith(pods)) return undefined;
  const [podUid = '', volumes, csi, volume = '', link, ...more] = path.slice(pods.length).split('/');
  const isTarget = `${volumes}/${csi}` === CSI_VOLUMES && link === LINK && more.length === 0;
  return isTarget && UID.test(podUid) && VOLUME.test(volume) ? { podUid, volume } : undefined;
}

/**
 * Makes the target a link to `source` that says whose it is. One that is there already stays; whatever else is in its place goes.
 * @returns whether it was made now
 * @throws Error where its directory is not there, or is reached by way of a link
 */
export function publishLink(kubeletDir: string, target: Target, source: string, owner: Owner): boolean {
  return inDirectoryOf(kubeletDir, target, (directory) => {
    const link = `${directory}/${LINK}`;
    if (readLink(link) === source && attributeOf(link, POD) === owner.pod) {
      // Earlier versions did not write it.
      setAttribute(link, SERVICE_ACCOUNT, owner.serviceAccount);
      return false;
    }
    const next = `${directory}/${NEXT}`;
    remove(next);
    symlinkSync(source, next);
    setAttribute(next, POD, owner.pod);
    setAttribute(next, SERVICE_ACCOUNT, owner.serviceAccount);
    try {
      renameSync(next, link);
    } catch (error) {
      // A link takes the place of a file, not that of a directory.
      if (errorCode(error) !== 'EISDIR') throw error;
      remove(link);
      renameSync(next, link);
    }
    return true;
  });
}

/** Whether the target is that link already. @throws Error of the system where that cannot be told: what a running pod has is not asked for anew */
export function isPublished(kubeletDir: string, target: Target, source: string, pod: string): boolean {
  try {
    return inDirectoryOf(kubeletDir, target, (directory) => {
      const link = `${directory}/${LINK}`;
      return readLink(link) === source && attributeOf(link, POD) === pod;
    });
  } catch (error) {
    // There is no such directory yet; or a link leads to it, which publishing refuses.
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV')) return false;
    throw error;
  }
}

/** Removes the target, whatever it is, a directory with something in it excepted. @returns whether there was one. @throws Error */
export function unpublishLink(kubeletDir: string, target: Target): boolean {
  try {
    return inDirectoryOf(kubeletDir, target, (directory) => {
      remove(`${directory}/${NEXT}`);
      return remove(`${directory}/${LINK}`);
    });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** A volume that is published on this node. */
export interface PublishedVolume extends Target {
  /** `namespace/name`. */
  readonly pod: string;
  /** Undefined where an earlier version has published it. */
  readonly serviceAccount: string | undefined;
  readonly source: string;
}

/** All volumes that daemons have published; with a UID, those of that pod. @throws Error of the system: what cannot be read is not taken for none */
export function publishedVolumes(kubeletDir: string, podUid?: string): PublishedVolume[] {
  const pods = podUid === undefined ? namesIn(`${kubeletDir}/pods`) : [podUid];
  return pods
    .filter((uid) => UID.test(uid))
    .flatMap((uid) => {
      const directory = `${kubeletDir}/pods/${uid}/${CSI_VOLUMES}`;
      return namesIn(directory).flatMap((volume) => {
        const link = `${directory}/${volume}/${LINK}`;
        // Other drivers mount there: their FUSE servers would be asked for the attributes, and may hang.
        const source = readLink(link);
        if (source === undefined) return [];
        const pod = attributeOf(link, POD);
        const serviceAccount = attributeOf(link, SERVICE_ACCOUNT);
        return pod === undefined ? [] : [{ podUid: uid, volume, pod, serviceAccount, source }];
      });
    });
}

/**
 * Whether some volume of a pod is a link to `source`; undefined where this is no directory of a kubelet.
 * @throws Error of the system: what could not be read is not taken for an answer
 */
export function isPublishedTo(kubeletDir: string, podUid: string, source: string): boolean | undefined {
  const directory = `${kubeletDir}/pods/${podUid}/${CSI_VOLUMES}`;
  try {
    return readdirSync(directory).some((volume) => isLinkTo(`${directory}/${volume}/${LINK}`, source));
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    return exists(`${kubeletDir}/pods`) ? false : undefined;
  }
}

/** The same, of a link to something below `directory`. */
export function hasSourceBelow(kubeletDir: string, podUid: string, directory: string): boolean | undefined {
  if (publishedVolumes(kubeletDir, podUid).some(({ source }) => source.startsWith(`${directory}/`))) return true;
  return exists(`${kubeletDir}/pods`) ? false : undefined;
}

/** @throws Error of the system, save where there is no link */
function isLinkTo(path: string, source: string): boolean {
  try {
    return readlinkSync(path) === source;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EINVAL')) return false;
    throw error;
  }
}

/** `namespace/name` of a pod that has a hotmount volume on this node. Never throws: without the name, logs and status have the UID. */
export function podName(kubeletDir: string, podUid: string): string | undefined {
  try {
    return publishedVolumes(kubeletDir, podUid)[0]?.pod;
  } catch {
    return undefined;
  }
}

/** The directory is opened without following a link, and used by its descriptor: nothing planted on the way leads elsewhere. */
function inDirectoryOf<T>(kubeletDir: string, { podUid, volume }: Target, use: (directory: string) => T): T {
  const pods = openSync(`${kubeletDir}/pods`, O_PATH | O_DIRECTORY);
  try {
    const directory = openBeneath(pods, `${podUid}/${CSI_VOLUMES}/${volume}`);
    try {
      return use(`/proc/self/fd/${directory}`);
    } finally {
      closeSync(directory);
    }
  } finally {
    closeSync(pods);
  }
}

function remove(path: string): boolean {
  try {
    if (lstatSync(path).isDirectory()) rmdirSync(path);
    else unlinkSync(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Undefined where there is no link. @throws Error of the system */
function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EINVAL')) return undefined;
    throw error;
  }
}

/** Undefined where there is none. @throws SystemCallError */
function attributeOf(link: string, name: string): string | undefined {
  try {
    return getAttribute(link, name);
  } catch (error) {
    // It has gone since; or its file system has no attributes.
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ENOTSUP', 'EOPNOTSUPP')) throw error;
    return undefined;
  }
}

/** @throws Error of the system, except where there is no such directory */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}
