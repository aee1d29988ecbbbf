import { LXCFS_VIEWS } from '../../contract/wants.ts';
import type { StackedMount } from '../../linux/mount-replacer.ts';
import type { ParentMount } from '../../linux/mount-tuck.ts';
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
/** Also that of the node's own files, where these stand in for lxcfs's. */
export const SOURCE = 'hotmount';

/** The file systems that files of ours are on, and where the root of each belongs. */
const ROOTS: Readonly<Record<string, string>> = { [FS_TYPE]: '', proc: '/proc', sysfs: '/sys' };
/** In the text of a table without a mount of ours none of these occurs: the search spares parsing. */
const MARKERS = Object.keys(ROOTS).map((type) => ` - ${type} ${SOURCE} `);

/** Whether a table may have files of ours in it. */
export const mayHaveOurs = (mountinfo: string): boolean => MARKERS.some((marker) => mountinfo.includes(marker));

/** What containers should have in place of one file. */
export interface Source {
  /** `major:minor` of its file system. */
  readonly device: string;
  /** `O_PATH` descriptor of it. */
  readonly fd: number;
}

/** By path below lxcfs's root, `/proc/meminfo`. What is not in it is taken away. */
export type Sources = ReadonlyMap<string, Source>;

/** One path in one namespace that needs something done. */
export interface Attachment {
  readonly mountPoint: string;
  /** Zero-terminated. */
  readonly path: Uint8Array;
  /** The path below lxcfs's root that is mounted there. */
  readonly file: string;
  /** The mounts of ours there, the bottom first. */
  readonly stack: readonly StackedMount[];
  /** What the path lies on; undefined where other namespaces may have a share in it. */
  readonly parent: ParentMount | undefined;
  /** `MOUNT_ATTR_*` that the one at the bottom has, and those that it has not. */
  readonly set: number;
  readonly clear: number;
  /** Undefined: there is none, so the file is taken away. */
  readonly source: Source | undefined;
}

/** What no mount table tells. */
export interface AttachFacts {
  /** Ids of mounts of this namespace that the kernel has said it will not part with: one live mount on top is right. */
  readonly locked?: ReadonlySet<number>;
  /** Devices of what another supervisor serves. */
  readonly foreign?: ReadonlySet<string>;
  /** Devices of which every file gives errors. */
  readonly dead?: ReadonlySet<string>;
}

/**
 * The devices of what a supervisor with another run dir serves on this node: the containers that read from it are its own.
 * @param mounts of our own namespace
 */
export function foreignDevices(mounts: readonly Mount[], runDir: string): Set<string> {
  const [own, others] = [new Set<string>(), new Set<string>()];
  for (const { fsType, source, mountPoint, device } of mounts) {
    if (source !== SOURCE || !Object.hasOwn(ROOTS, fsType)) continue;
    (mountPoint.startsWith(`${runDir}/`) ? own : others).add(device);
  }
  return others.difference(own);
}

/**
 * What has to be done in a namespace, from its mount table alone: each path should show exactly one mount of ours, the live one. Left
 * alone are mounts that are covered by someone else's, whole lxcfs trees (those of the node and of namespaces that copied the node's
 * table), the node's own files where they lie ready in the run dir, and what is locked or foreign.
 */
export function planAttachments(
  mounts: readonly Mount[],
  sources: Sources,
  { locked = new Set(), foreign = new Set(), dead = new Set() }: AttachFacts = {},
): Attachment[] {
  if (!mounts.some(isOurs)) return [];
  const table = new MountTable(mounts);
  const attachments: Attachment[] = [];
  for (const top of mounts) {
    if (!isOurs(top) || foreign.has(top.device) || table.isInRunDir(top) || !table.isVisible(top)) continue;
    const all = table.stackEndingIn(top);
    // The others may belong at other paths: a visit piles up here what it takes off those, and may fail before all of it is unmounted.
    const bottom = all[0] as Mount;
    const file = fileOf(bottom);
    const source = sources.get(file);
    const isLive = (mount: Mount): boolean => mount.device === source?.device && fileOf(mount) === file;
    const stack = all
      .filter(({ id }) => !locked.has(id))
      .map((mount) => ({
        id: mount.id,
        isLive: isLive(mount),
        isDead: dead.has(mount.device),
      }));
    // All of it is locked: what is on top is right, or there is nothing to put there.
    if (stack.length === 0 && (isLive(top) || !source)) continue;
    if (stack.length === 1 && stack[0]?.isLive) continue;
    const set = attributesOf(bottom.options);
    const path = terminated(top.rawMountPoint);
    const parent = parentMount(table.parentOf(bottom), bottom);
    attachments.push({ mountPoint: top.mountPoint, path, file, stack, parent, set, clear: ALL & ~set, source });
  }
  return attachments;
}

/** How many files of a table are as they should be: from lxcfs, or the node's own in their place. */
export function countAttached(mounts: readonly Mount[], sources: Sources): { lxcfs: number; node: number } {
  const table = new MountTable(mounts);
  const live = mounts.filter(
    (mount) => isOurs(mount) && !table.isInRunDir(mount) && mount.device === sources.get(fileOf(mount))?.device,
  );
  const lxcfs = live.filter(({ fsType }) => fsType === FS_TYPE).length;
  return { lxcfs, node: live.length - lxcfs };
}

const isOurs = (mount: Mount): boolean =>
  mount.source === SOURCE && Object.hasOwn(ROOTS, mount.fsType) && FILES.includes(fileOf(mount));

/**
 * The file of lxcfs that is mounted. A lookup through a dead lxcfs makes the kernel drop the name, and then the table calls the file
 * deleted (fuse_dentry_revalidate, dentry_path).
 */
function fileOf({ fsType, root }: Mount): string {
  return `${ROOTS[fsType]}${root.endsWith(DELETED) ? root.slice(0, -DELETED.length) : root}`;
}
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

const terminated = (path: string): Uint8Array => Buffer.concat([pathBytes(path), Buffer.of(0)]);

function parentMount(parent: Mount | undefined, { rawMountPoint }: Mount): ParentMount | undefined {
  if (!parent || parent.shared !== undefined || parent.master !== undefined) return undefined;
  const prefix = parent.rawMountPoint === '/' ? '/' : `${parent.rawMountPoint}/`;
  if (!rawMountPoint.startsWith(prefix)) return undefined;
  const inside = terminated(rawMountPoint.slice(prefix.length));
  return { id: parent.id, path: terminated(parent.rawMountPoint), inside };
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

  parentOf({ parent }: Mount): Mount | undefined {
    return this.#byId.get(parent);
  }

  /** Whether it lies in a run dir, or in a copy of one that the namespace has from the node. */
  isInRunDir(mount: Mount): boolean {
    const parent = this.#byId.get(mount.parent);
    return parent?.fsType === 'tmpfs' && parent.source === SOURCE;
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
