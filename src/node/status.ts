import { mountsOfDevice, namespaceOf } from '../linux/namespaces.ts';
import type { HolderReport } from './containers.ts';
import type { LxcfsStatus } from './lxcfs/status.ts';
import { type Mounted, mediaDirectory } from './media/actual.ts';
import type { DepartureReport, Media } from './media/media.ts';
import type { RunDir } from './run-dir.ts';

/** What `hotmount status -o json` prints. Fields may be added; those that are here stay. */
export interface NodeStatus {
  readonly daemon: {
    readonly version: string;
    readonly pid: number;
    readonly startedAt: string;
    readonly ready: boolean;
    readonly problem?: string;
  };
  readonly runDir: string;
  readonly policy: { readonly source: string; readonly mediaClasses: readonly string[]; readonly problem?: string };
  readonly mounted: readonly MountedStatus[];
  readonly notMounted: readonly NotMountedStatus[];
  /** Undefined where none is wanted; `problem` alone where no supervisor of it answers. */
  readonly lxcfs?: LxcfsStatus | { readonly problem: string };
  /** Disks that went lately, the last one first. */
  readonly departed: readonly DepartureReport[];
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
}

export interface NotMountedStatus {
  readonly disk: string;
  readonly kind: 'skipped' | 'failed';
  readonly reason: string;
  readonly message: string;
}

export type { DepartureReport, HolderReport };

export function mediaStatus(media: Media, runDir: RunDir): Pick<NodeStatus, 'mounted' | 'notMounted' | 'departed'> {
  const mounted: MountedStatus[] = [];
  const notMounted: NotMountedStatus[] = [];
  for (const [disk, state] of [...media.states].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))) {
    if (state.kind === 'mounted') mounted.push(describe(disk, state.mounted, runDir));
    else notMounted.push({ disk, kind: state.kind, reason: state.reason, message: state.message });
  }
  return { mounted, notMounted, departed: media.departures };
}

function describe(disk: string, { className, directory, record, main }: Mounted, runDir: RunDir): MountedStatus {
  const node = new Set([namespaceOf('self'), namespaceOf(1)]);
  const seen = mountsOfDevice(main[0]?.device ?? record.device).filter(({ namespace }) => !node.has(namespace.id));
  const { type: fsType, label, uuid } = record.fileSystem;
  return {
    disk,
    class: className,
    fsType,
    label,
    uuid,
    path: `${runDir.path}/${mediaDirectory('media', className, directory)}`,
    options: record.options,
    since: record.since,
    containers: seen.length,
  };
}
