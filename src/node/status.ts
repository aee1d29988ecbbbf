import { readBlockDevice } from '../linux/block.ts';
import type { Mount } from '../linux/mountinfo.ts';
import { findMounts, type NamespaceMounts, nodeNamespaces } from '../linux/namespaces.ts';
import { type ContainerIdentity, containerOf } from './containers/identity.ts';
import type { CsiStatus } from './csi/driver.ts';
import { type PodNames, withPodName } from './csi/pod-names.ts';
import type { DevicePluginStatus } from './device-plugin/plugin.ts';
import type { DeviceController } from './devices/controller.ts';
import { type DevicesStatus, devicesStatus, leftNodes } from './devices/status.ts';
import { type UnclaimedDevice, unclaimedDevices } from './devices/unclaimed.ts';
import type { LiveController } from './live/controller.ts';
import { type LiveStatus, liveStatus } from './live/status.ts';
import type { LxcfsStatus } from './lxcfs/status.ts';
import { type Mounted, mediaDirectory, readMounted } from './media/actual.ts';
import type { MediaController } from './media/controller.ts';
import { type MediaNote, notesOn } from './media/notes.ts';
import { isGone } from './media/plan.ts';
import type { Space } from './media/space.ts';
import type { UnmountReport } from './media/unmount-reports.ts';
import { findRunDir, type RunDir } from './run-dir/run-dir.ts';

export type { Ejection } from './media/ejector.ts';

/** What `hotmount status -o json` prints. Fields may be added; those that are here stay. */
export interface NodeStatus extends DevicesStatus {
  readonly daemon: {
    readonly version: string;
    /** Of the node: `6.1.0-13-amd64`. */
    readonly kernel: string;
    /** The version of cgroups that device access goes by. */
    readonly cgroups: 'v1' | 'v2';
    readonly pid: number;
    readonly startedAt: string;
    readonly ready: boolean;
    readonly problem?: string;
    /** What could not be done, and is tried again; all else goes on. */
    readonly failing?: readonly string[];
  };
  readonly runDir: string;
  readonly policy: {
    readonly source: string;
    /** The first 12 hexadecimal digits of the SHA-256 of its text. */
    readonly digest: string;
    /** ISO 8601: when it came into force on this node. */
    readonly since: string;
    readonly mediaClasses: readonly string[];
    readonly deviceClasses: readonly string[];
    /** Why what the file says now is not in force. */
    readonly problem?: string;
  };
  readonly mounted: readonly MountedStatus[];
  readonly notMounted: readonly NotMountedStatus[];
  /** What hangs on USB and is in no class. */
  readonly unclaimed: readonly UnclaimedDevice[];
  /** Undefined where none is wanted; `problem` alone where no supervisor of it answers. */
  readonly lxcfs?: LxcfsStatus | { readonly problem: string };
  /** The CSI driver; undefined without one (`--no-csi`). */
  readonly csi?: CsiStatus;
  /** Live pods; undefined without the CSI driver, by which they have their directories. */
  readonly live?: LiveStatus;
  /** Undefined without one (`--device-plugin`). */
  readonly devicePlugin?: DevicePluginStatus;
  /** What a child process is at work for; where that takes long, the disk is slow, or hangs. */
  readonly working: readonly { readonly disk: string; readonly doing: string; readonly since: string }[];
  /** Disks that went lately, the last one first. */
  readonly departed: readonly UnmountReport[];
}

export interface MountedStatus {
  readonly disk: string;
  readonly class: string;
  readonly fsType: string;
  readonly label: string;
  readonly uuid: string;
  readonly path: string;
  readonly options: readonly string[];
  readonly since: string;
  /** Mount namespaces besides the node's and the daemon's own in which it is mounted. */
  readonly containers: number;
  /** The pods among them, as their cgroups tell. */
  readonly pods: readonly ContainerIdentity[];
  /** Left out where the disk does not answer, or no daemon is there to ask it. */
  readonly space?: Space;
  /** What is to be known of it; left out where there is nothing. */
  readonly notes?: readonly MediaNote[];
}

export interface NotMountedStatus {
  readonly disk: string;
  readonly kind: 'skipped' | 'failed';
  readonly reason: string;
  readonly message: string;
}

/** What can be said where no daemon answers: the kernel has the mounts, and the run dir what they are of. */
export interface LeftBehind {
  readonly daemon: null;
  readonly runDir: string;
  /** `present`: the medium is still there; where it is not, only a daemon takes the mount away. */
  readonly mounted: readonly (MountedStatus & { readonly present: boolean })[];
  /** Device nodes; who has access is known to the kernel alone. */
  readonly devices: readonly { readonly path: string; readonly number: string; readonly since: string }[];
}

/** Reads from mountinfo and sysfs what daemons have mounted. Takes CAP_SYS_ADMIN where there is a run dir. @throws Error that says what to do */
export function readLeftBehind(path: string): LeftBehind {
  const runDir = findRunDir(path);
  if (!runDir) return { daemon: null, runDir: path, mounted: [], devices: [] };
  try {
    const found = readMounted(runDir);
    const seen = seenElsewhere(found);
    const mounted = found.map((each) => {
      const { record } = each;
      return {
        ...describe(record.name, each, runDir, seen, notesOn(record, each.main[0])),
        present: !isGone(readBlockDevice(record.name), record),
      };
    });
    return { daemon: null, runDir: runDir.path, mounted, devices: leftNodes(runDir) };
  } finally {
    runDir.close();
  }
}

export interface NodeStatusParts extends Pick<NodeStatus, 'daemon' | 'policy'> {
  readonly media: MediaController;
  readonly devices: DeviceController;
  readonly live: LiveController;
  readonly runDir: RunDir;
  readonly podName: PodNames;
  readonly lxcfs: NodeStatus['lxcfs'] | undefined;
  readonly csi: CsiStatus | undefined;
  readonly devicePlugin: DevicePluginStatus | undefined;
}

/** What the daemon says of itself, with the names of pods. It asks the disks how full they are. */
export async function readNodeStatus(parts: NodeStatusParts): Promise<NodeStatus> {
  const { daemon, policy, media, devices, live, runDir, lxcfs, csi, devicePlugin } = parts;
  const byUid: NodeStatus = {
    daemon,
    runDir: runDir.path,
    policy,
    ...(await mediaStatus(media, runDir)),
    ...devicesStatus(devices, runDir),
    unclaimed: unclaimedStatus(media, devices),
    ...(lxcfs ? { lxcfs } : {}),
    ...(csi ? { csi, live: liveStatus(live) } : {}),
    ...(devicePlugin ? { devicePlugin } : {}),
  };
  return withPodNames(byUid, parts.podName);
}

async function mediaStatus(
  media: MediaController,
  runDir: RunDir,
): Promise<Pick<NodeStatus, 'mounted' | 'notMounted' | 'working' | 'departed'>> {
  const spaces = await media.readSpace();
  const mounted: MountedStatus[] = [];
  const notMounted: NotMountedStatus[] = [];
  const notes = media.readNotes();
  const seen = seenElsewhere(
    [...media.states.values()].flatMap((state) => (state.kind === 'mounted' ? [state.mounted] : [])),
  );
  for (const [disk, state] of [...media.states].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))) {
    if (state.kind === 'mounted') {
      const space = spaces.get(disk);
      mounted.push({
        ...describe(disk, state.mounted, runDir, seen, notes.get(disk) ?? []),
        ...(space ? { space } : {}),
      });
      for (const { finding } of state.notShown) notMounted.push({ disk, ...finding });
    } else notMounted.push({ disk, kind: state.kind, reason: state.reason, message: state.message });
  }
  const working = [...media.working].map(([disk, work]) => ({ disk, ...work }));
  return { mounted, notMounted, working, departed: media.unmounts };
}

/** Reads sysfs: some ms. */
function unclaimedStatus(media: MediaController, devices: DeviceController): readonly UnclaimedDevice[] {
  const inDeviceClass = new Set([
    ...devices.nodes.map(({ desired }) => desired.device.key),
    ...devices.rejected.keys(),
  ]);
  const inMediaClass = (name: string): boolean => {
    const state = media.states.get(name);
    return state !== undefined && !(state.kind === 'skipped' && NOBODYS.includes(state.reason));
  };
  return unclaimedDevices((key, name) => inDeviceClass.has(key) || inMediaClass(name));
}

/** Of disks that no class has to do with. */
const NOBODYS = ['no_class'];

/** Of btrfs, the mount has a number that is not the disk's. */
const deviceOf = ({ main, record }: Mounted): string => main[0]?.device ?? record.device;

/** Where these are mounted besides the node's and the daemon's own namespaces: all are searched for at once. */
function seenElsewhere(mounted: readonly Mounted[]): NamespaceMounts[] {
  if (mounted.length === 0) return [];
  const node = nodeNamespaces();
  return findMounts(mounted.map(deviceOf)).namespaces.filter(({ namespace }) => !node.has(namespace.id));
}

function describe(
  disk: string,
  mounted: Mounted,
  runDir: RunDir,
  seen: readonly NamespaceMounts[],
  notes: readonly MediaNote[],
): MountedStatus {
  const { className, directory, record } = mounted;
  const device = deviceOf(mounted);
  const { type: fsType, label, uuid } = record.fileSystem;
  // A pod of ours has all of the run dir, and at its own path, where no other pod may mount anything.
  const isOurs = (mount: Mount): boolean => mount.mountPoint.startsWith(`${runDir.path}/media`);
  const holders = seen.filter(({ mounts }) => mounts.some((mount) => mount.device === device));
  return {
    disk,
    class: className,
    fsType,
    label,
    uuid,
    path: `${runDir.path}/${mediaDirectory('media', className, directory)}`,
    options: record.options,
    since: record.since,
    containers: holders.length,
    pods: podsOf(holders.filter(({ mounts }) => !mounts.some(isOurs))),
    ...(notes.length > 0 ? { notes } : {}),
  };
}

/** The containers of pods, each once: one may have several mount namespaces. */
function podsOf(holders: readonly NamespaceMounts[]): ContainerIdentity[] {
  const containers = holders
    .map(({ namespace }) => containerOf(namespace.pid))
    .filter(({ podUid }) => podUid !== undefined);
  return [
    ...new Map(containers.map((container) => [`${container.podUid}/${container.containerId}`, container])).values(),
  ];
}

/** The status with the names of pods, wherever it has their UIDs. */
function withPodNames(status: NodeStatus, lookUp: PodNames): NodeStatus {
  const known = new Map<string, string | undefined>();
  const names: PodNames = (uid) => {
    if (!known.has(uid)) known.set(uid, lookUp(uid));
    return known.get(uid);
  };
  const named = <T extends object>(entries: readonly T[]): T[] => entries.map((entry) => withPodName(entry, names));
  const { lxcfs } = status;
  return {
    ...status,
    mounted: status.mounted.map((mount) => ({ ...mount, pods: named(mount.pods) })),
    devices: status.devices.map((device) => ({ ...device, containers: named(device.containers) })),
    departed: status.departed.map((departure) => ({ ...departure, holders: named(departure.holders) })),
    ...(lxcfs && 'unhealed' in lxcfs ? { lxcfs: { ...lxcfs, unhealed: named(lxcfs.unhealed) } } : {}),
  };
}
