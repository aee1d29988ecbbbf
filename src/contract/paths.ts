import { posix } from 'node:path';

/** Where the node daemon publishes what pods mount. The webhook writes these paths; the daemon makes them. */
export const RUN_DIR = '/run/hotmount';

/** The kubelet's --root-dir, by default. */
export const KUBELET_DIR = '/var/lib/kubelet';

/** The directory of a media class; `readOnly` names its read-only twin. */
export const mediaPath = (className: string, readOnly: boolean, runDir: string = RUN_DIR): string =>
  `${runDir}/${readOnly ? 'media-ro' : 'media'}/${className}`;

/** Where the nodes of a device class appear. */
export const devicesPath = (className: string, runDir: string = RUN_DIR): string => `${runDir}/devices/${className}`;

/** A live pod's own directory; without its UID, where all of them are. */
export const livePath = (podUid: string | undefined, runDir: string = RUN_DIR): string =>
  podUid === undefined ? `${runDir}/live` : `${runDir}/live/${podUid}`;

/** Where a pod with users of its own (`hostUsers: false`) has its media classes. */
export const ownUsersPath = (podUid: string, runDir: string = RUN_DIR): string => `${runDir}/users/${podUid}`;

/** The file (or, for `cpu`, the directory) that lxcfs serves for a path of the container such as `/proc/meminfo`. */
export const lxcfsPath = (containerPath: string, runDir: string = RUN_DIR): string => `${runDir}/lxcfs${containerPath}`;

/** Mounting exactly there would take away what every container needs. */
const PROTECTED = ['/', '/dev', RUN_DIR];
/** Nor anything below these: the runtime itself mounts there and refuses or hides. */
const PROTECTED_TREES = ['/proc', '/sys'];

/** What a node runs by (FHS 3.0, 3 and 5): a file system mounted exactly there would hide it. */
const OF_THE_SYSTEM: ReadonlySet<string> = new Set([
  ...'/ /bin /boot /dev /dev/shm /etc /home /lib /lib64 /media /mnt /opt /root /run /sbin /srv /tmp'.split(' '),
  ...'/usr /usr/bin /usr/lib /usr/local /usr/sbin /usr/share /var /var/lib /var/log /var/tmp'.split(' '),
  ...'/run/containerd /run/systemd /run/udev /var/lib/containerd'.split(' '),
  KUBELET_DIR,
  `${KUBELET_DIR}/pods`,
]);

/** Why the run dir, a file system of its own, cannot be mounted at an absolute path; undefined where it can. */
export function runDirProblem(path: string): string | undefined {
  const normal = normalizePath(path);
  if (OF_THE_SYSTEM.has(normal)) return 'would hide a directory that the node needs';
  const tree = PROTECTED_TREES.find((p) => p === normal || normal.startsWith(`${p}/`));
  return tree && `would hide what the kernel says in ${tree}`;
}

/** Linux' PATH_MAX, less the NUL, and NAME_MAX. */
const MAX_PATH = 4095;
const MAX_NAME = 255;

/** `/x/`, `//x` and `/./x` are the same mount point; the API server compares raw strings, we do not. */
export function normalizePath(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

/** Why a user may not choose `path` as a mount point, or undefined where they may. Expects any string. */
export function pathProblem(path: string): string | undefined {
  if (!path.startsWith('/')) return 'must be an absolute path';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
  if (/[\x00-\x1f\x7f:]/.test(path)) return 'must not contain ":" or control characters';
  if (path.split('/').includes('..')) return 'must not contain ".."';
  if (Buffer.byteLength(path) > MAX_PATH) return `must not be longer than ${MAX_PATH} bytes`;
  if (path.split('/').some((name) => Buffer.byteLength(name) > MAX_NAME)) {
    return `must not have a name of more than ${MAX_NAME} bytes in it`;
  }
  const normal = normalizePath(path);
  const covered =
    PROTECTED.find((p) => p === normal) ?? PROTECTED_TREES.find((p) => p === normal || normal.startsWith(`${p}/`));
  return covered && `would cover ${covered}, which no policy can allow`;
}
