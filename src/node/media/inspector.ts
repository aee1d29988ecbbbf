import type { Probe } from '../../linux/blkid.ts';
import { type BlockDevice, blockDeviceNames } from '../../linux/block.ts';
import { pollMedium } from '../../linux/medium-polling.ts';
import type { Logger } from '../../observability/logger.ts';
import type { ExclusiveOpener, Exclusivity } from '../block/exclusive-opener.ts';
import { type PartitionType, PartitionTypes } from '../block/partition-types.ts';
import { Prober } from '../block/prober.ts';
import { ContainerUsage, type DiskUse, usageByNode } from '../containers/disk-usage.ts';
import type { RunDir } from '../run-dir/run-dir.ts';

/** What a probe has found out about a disk. */
export interface Known {
  /** What it was found out about: another one may have come by the same name. */
  readonly device: BlockDevice;
  readonly probe: Probe;
  readonly use: DiskUse | undefined;
}

export interface InspectorOptions {
  readonly runDir: RunDir;
  readonly log: Logger;
  readonly opener: ExclusiveOpener;
  /** Whether what is in the disk is what was unmounted last by its name. */
  readonly isSameMedium: (device: BlockDevice) => boolean;
  /** Whether it would be mounted, if nobody used it. */
  readonly isWanted: (device: BlockDevice, probe: Probe) => boolean;
}

/** Finds out what is on disks, and who uses them. */
export class Inspector {
  readonly #options: InspectorOptions;
  readonly #prober = new Prober();
  readonly #partitionTypes = new PartitionTypes();
  readonly #containerUse = new ContainerUsage();
  /**
   * Disks that may have had another medium, or another user, before this daemon came: mount(2) would join what the kernel still has of it.
   * Of one that has just come it has nothing, and refuses by itself what somebody else holds.
   */
  readonly #hasPast = new Set(blockDeviceNames());

  /** The kernel has just said that they are there now. */
  readonly #added = new Set<string>();

  constructor(options: InspectorOptions) {
    this.#options = options;
  }

  /** Starts child processes ahead of the next disk. */
  prepare(): void {
    this.#prober.prepare();
    this.#partitionTypes.prepare();
  }

  /** The kernel has made the disk: until its first reconciliation has ended, nobody is looked for who could have it already. */
  added(name: string): void {
    this.#added.add(name);
  }

  /** The disk has been reconciled. */
  reconciled(name: string): void {
    this.#added.delete(name);
  }

  /** The disk has been mounted. */
  remember(name: string): void {
    this.#hasPast.add(name);
  }

  /** The disk has gone. */
  forget(name: string): void {
    this.#hasPast.delete(name);
  }

  /** A drive that a class could take is to tell when its medium is another. */
  pollMedium({ disk, removable }: BlockDevice): void {
    if (!removable) return;
    try {
      pollMedium(disk);
    } catch (error) {
      this.#options.log.warn({ disk, err: error }, 'a card that is pushed in may not be seen: the drive is not polled');
    }
  }

  /**
   * Reads what is on it, and meanwhile finds out whether a container has it mounted. Not of a disk that has just come: a container that mounts
   * it, too, can do so just after the search as well as before, and on a node with many processes the search takes longer than all the rest.
   */
  async inspect(device: BlockDevice): Promise<Known> {
    const isNew = this.#isNew(device);
    const children = Promise.all([
      this.#prober.probe(device),
      this.#partitionTypes.of(device),
      isNew ? undefined : this.#containerUse.of(device),
    ]);
    const byNode = isNew ? this.#usageByNode(device) : undefined;
    const [found, partType, byContainer] = await children;
    const probe = withPartitionType(found, partType);
    // To ask keeps others from mounting it for a moment: not where no class takes it.
    const byOthers = byNode ?? byContainer;
    const isAsked = !byOthers && this.#hasPast.has(device.name) && this.#options.isWanted(device, probe);
    const exclusivity = isAsked ? await this.#options.opener.ask(device) : 'free';
    return { device, probe, use: byOthers ?? this.#claimOn(device, probe, exclusivity) };
  }

  /**
   * Who uses the disk: on the node, before it has been inspected, so that nobody's disk is read; then, as the inspection has found it. Of one
   * that has just come, both are found out at the same time.
   */
  useOf(device: BlockDevice, known: Known | undefined): DiskUse | undefined {
    if (!known) return this.#isNew(device) ? undefined : this.#usageByNode(device);
    // Another member of the same btrfs may have been mounted since.
    if (known.use || known.probe.outcome !== 'found' || known.probe.fileSystem.type !== 'btrfs') return known.use;
    return this.#usageByNode(known.device);
  }

  #isNew({ name }: BlockDevice): boolean {
    return this.#added.has(name) && !this.#hasPast.has(name);
  }

  /** A btrfs that the node has not mounted, some container has, or did: the inspection finds out. */
  #usageByNode(device: BlockDevice): DiskUse | undefined {
    const use = usageByNode(device, this.#options.runDir.path);
    return use?.kind === 'btrfs' && !use.mount ? undefined : use;
  }

  /** What is left of our own mount, which somebody keeps by an open file, is that medium's file system, and mounted again as it is. */
  #claimOn(device: BlockDevice, probe: Probe, exclusivity: Exclusivity): DiskUse | undefined {
    if (this.#options.isSameMedium(device)) return undefined;
    const isBtrfs = probe.outcome === 'found' && probe.fileSystem.type === 'btrfs';
    const use = isBtrfs || exclusivity !== 'free' ? usageByNode(device, this.#options.runDir.path) : undefined;
    return use ?? (exclusivity === 'free' ? undefined : { kind: exclusivity });
  }
}

function withPartitionType(found: Probe, read: PartitionType): Probe {
  if (found.outcome !== 'found') return found;
  if ('problem' in read) {
    const { problem, stuck } = read;
    if (stuck) return { outcome: 'hung', stuck };
    return { ...found, fileSystem: { ...found.fileSystem, partTypeProblem: problem } };
  }
  return read.type === undefined ? found : { ...found, fileSystem: { ...found.fileSystem, partType: read.type } };
}
