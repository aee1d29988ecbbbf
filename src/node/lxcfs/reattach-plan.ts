import { LXCFS_VIEWS } from '../../contract/wants.ts';
import { type Mount, pathBytes } from '../../linux/mountinfo.ts';

/** What of lxcfs containers mount: the views, and what other setups of lxcfs are used to mount besides. Other paths are left alone. */
export const FILES: readonly string[] = [
  ...Object.values(LXCFS_VIEWS),
  '/sys/devices/system/cpu/online',
  '/proc/pressure/cpu',
  '/proc/pressure/io',
  '/proc/pressure/memory',
];

/** What mountinfo shows for every lxcfs of ours, and for nobody else's. */
export const FS_TYPE = 'fuse.lxcfs';
export const SOURCE = 'hotmount';

/** In the text of a table without a mount of ours this does not occur: looking for it spares parsing. */
export const MARKER = ` - ${FS_TYPE} ${SOURCE} `;

/** The instance that containers ought to read from. */
export interface LiveInstance {
  /** `major:minor` of its file system. */
  readonly device: string;
  /** `O_PATH` descriptors by path below its root, `/proc/meminfo`: what it serves. */
  readonly files: ReadonlyMap<string, number>;
}

/** One path in one namespace that needs something done. */
export interface Repair {
  readonly mountPoint: string;
  /** Zero-terminated. */
  readonly path: Uint8Array;
  /** The path below lxcfs's root that is mounted there. */
  readonly file: string;
  /** The mounts of ours there, the bottom first. */
  readonly stack: readonly { readonly id: number; readonly isLive: boolean }[];
  /** `MOUNT_ATTR_*` that the one on top has, and those that it has not. */
  readonly set: number;
  readonly clear: number;
  /** False: the published instance does not serve the file, so it is taken away. */
  readonly isServed: boolean;
}

/**
 * What has to be done in a namespace, from its mount table alone: each path should show exactly one mount of ours, the live one. Left
 * alone are mounts that are covered by someone else's, whole lxcfs trees (those of the node and of namespaces that copied the node's
 * table), and the `locked`, by mount id: the kernel has said that it will not part with them, so one live mount on top is right.
 */
export function planRepairs(
  mounts: readonly Mount[],
  { device, files }: LiveInstance,
  locked: ReadonlySet<number> = new Set(),
): Repair[] {
  if (!mounts.some(isOurs)) return [];
  const table = new MountTable(mounts);
  const repairs: Repair[] = [];
  for (const top of mounts) {
    if (!isOurs(top) || !table.isVisible(top)) continue;
    const all = table.stackEndingIn(top);
    const stack = all
      .filter(({ id }) => !locked.has(id))
      .map((mount) => ({ id: mount.id, isLive: mount.device === device }));
    const file = fileOf(top);
    const isServed = files.has(file);
    if (stack.length === 0 && !isServed) continue;
    if (stack.length === 1 && stack[0]?.isLive) continue;
    const set = attributesOf(top.options);
    const path = Buffer.concat([pathBytes(top.rawMountPoint), Buffer.of(0)]);
    repairs.push({ mountPoint: top.mountPoint, path, file, stack, set, clear: ALL & ~set, isServed });
  }
  return repairs;
}

/** How many files of a table come from this instance, as a container sees them. */
export function countLive(mounts: readonly Mount[], device: string): number {
  return mounts.filter((mount) => isOurs(mount) && mount.device === device).length;
}

const isOurs = (mount: Mount): boolean =>
  mount.fsType === FS_TYPE && mount.source === SOURCE && FILES.includes(fileOf(mount));

/**
 * The file of lxcfs that is mounted. A lookup through a dead lxcfs makes the kernel drop the name, and then the table calls the file
 * deleted (fuse_dentry_revalidate, dentry_path).
 */
const fileOf = ({ root }: Mount): string => (root.endsWith(DELETED) ? root.slice(0, -DELETED.length) : root);
const DELETED = '//deleted';

/** By mountinfo's word (fs/proc_namespace.c); `relatime` is what is left when none of the times' bits is set. */
const ATTRIBUTES: Readonly<Record<string, number>> = {
  ro: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  noatime: 0x10,
  nodiratime: 0x80,
  nosymfollow: 0x200000,
};
const STRICT_ATIME = 0x20;
/** MOUNT_ATTR__ATIME: to change the time's mode it has to be cleared as a whole. */
const ATIME_MASK = 0x70;
const ALL = Object.values(ATTRIBUTES).reduce((sum, bit) => sum | bit, ATIME_MASK);

function attributesOf(options: readonly string[]): number {
  const timed = options.includes('noatime') || options.includes('relatime');
  return options.reduce((sum, option) => sum | (ATTRIBUTES[option] ?? 0), timed ? 0 : STRICT_ATIME);
}

/** A mount table with what lies on what. */
class MountTable {
  readonly #byId = new Map<number, Mount>();
  readonly #children = new Map<number, Mount[]>();

  constructor(mounts: readonly Mount[]) {
    for (const mount of mounts) {
      this.#byId.set(mount.id, mount);
      const siblings = this.#children.get(mount.parent);
      if (siblings) siblings.push(mount);
      else this.#children.set(mount.parent, [mount]);
    }
  }

  /** Whether a lookup of its mount point ends on it: nothing is stacked on it, and nothing hides the way there. */
  isVisible(mount: Mount): boolean {
    const covers = (child: Mount): boolean => child.id !== mount.id && child.mountPoint === mount.mountPoint;
    if (this.#children.get(mount.id)?.some(covers)) return false;
    let below = mount;
    for (let hops = 0; hops < this.#byId.size; hops++) {
      const parent = this.#byId.get(below.parent);
      if (!parent || parent === below) return true;
      const { id, mountPoint } = below;
      const hides = (child: Mount): boolean => child.id !== id && isAbove(child.mountPoint, mountPoint);
      if (this.#children.get(parent.id)?.some(hides)) return false;
      below = parent;
    }
    return true;
  }

  /** Those of ours that lie on one another at one path, without a gap, the last one being `top`; the bottom first. */
  stackEndingIn(top: Mount): Mount[] {
    const stack = [top];
    for (;;) {
      const below = this.#byId.get(stack[0]?.parent as number);
      if (!below || below === stack[0] || below.mountPoint !== top.mountPoint || !isOurs(below)) return stack;
      stack.unshift(below);
    }
  }
}

/** Whether a mount at `upper` hides `lower`. */
const isAbove = (upper: string, lower: string): boolean =>
  upper !== lower && lower.startsWith(upper.endsWith('/') ? upper : `${upper}/`);
