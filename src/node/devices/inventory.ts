import { type BlockDevice, readBlockDevice } from '../../linux/block.ts';
import { type Device, type DeviceKey, deviceKeys, readDevice } from '../../linux/device.ts';
import type { UdevRecord } from '../../linux/udev-database.ts';
import type { DeviceClass } from '../../policy/index.ts';
import type { DiskClaims } from '../block/disk-claims.ts';
import { type DiskUse, usageByNode, usageOfFamilyInContainers } from '../containers/disk-usage.ts';
import type { Finding } from '../reasons.ts';
import { type Classification, classify, type DeviceFacts, dependsOnUse } from './classify.ts';
import type { MatchedDevice } from './desired.ts';
import { isOfInterest } from './match.ts';

export interface InventoryOptions {
  readonly runDir: string;
  /** Disks up to this sequence number were there before hotmount was. */
  readonly bootSequence: number;
  /** What udevd says of a device. */
  readonly udev: (key: DeviceKey) => UdevRecord;
  /** Whether the device of this identity has a node already: then containers may have it, and may well have mounted it. */
  readonly isGiven: (identity: string) => boolean;
  readonly claims: DiskClaims;
  /** Who holds a disk exclusively, or a part of it; asked before it is given to anybody. */
  readonly exclusive: (block: BlockDevice) => DiskUse | 'asking' | 'unclear' | undefined;
}

/** A device that is in no class, or has no node, and why. */
export type RejectedDevice = Finding & { readonly device: string };

interface Known {
  readonly device: Device;
  readonly classification: Classification;
  /** Of udevd. */
  readonly links: readonly string[];
}

/** The devices that some class takes, or nearly does, as they were when they were last read. */
export class Inventory {
  readonly #options: InventoryOptions;
  readonly #known = new Map<DeviceKey, Known>();
  classes: readonly DeviceClass[];

  constructor(options: InventoryOptions, classes: readonly DeviceClass[]) {
    this.#options = options;
    this.classes = classes;
  }

  get matched(): MatchedDevice[] {
    return [...this.#known.values()].flatMap(({ device, classification, links }) =>
      classification.kind === 'matched' ? { device, classes: classification.classes, links } : [],
    );
  }

  /** Those that a class matches and that are rejected for a reason. */
  get rejected(): Map<DeviceKey, RejectedDevice> {
    const rejected = new Map<DeviceKey, RejectedDevice>();
    for (const { device, classification } of this.#known.values()) {
      if (classification.kind === 'rejected' && classification.finding) {
        rejected.set(device.key, { ...classification.finding, device: device.name });
      }
    }
    return rejected;
  }

  /** The class that a disk is in, or the whole disk of which it is a partition; what it is used for now does not matter. */
  claimOn(block: BlockDevice): string | undefined {
    if (this.classes.length === 0) return undefined;
    const whole = block.isPartition ? readBlockDevice(block.disk) : undefined;
    for (const { device: number } of whole ? [block, whole] : [block]) {
      const device = this.#read(`b${number}` as DeviceKey);
      const classification = device && this.#classify(device, this.#options.udev(device.key), () => undefined);
      if (classification?.kind === 'matched') return classification.classes[0]?.name;
    }
    return undefined;
  }

  refreshAll(): void {
    this.#known.clear();
    for (const key of deviceKeys()) this.refresh(key);
  }

  /**
   * Reads the disks again that are matched, or in use: whether that is so depends on other disks, and on mounts.
   * @param fresh those that have just been read: to read one searches the mount tables of all containers
   */
  refreshDisks(fresh: ReadonlyMap<DeviceKey, unknown>): void {
    for (const { device, classification } of [...this.#known.values()]) {
      if (device.block && dependsOnUse(classification) && !fresh.has(device.key)) this.refresh(device.key);
    }
  }

  refresh(key: DeviceKey): void {
    const device = this.#read(key);
    const record = device && this.#options.udev(key);
    const classification = device && record && this.#classify(device, record, () => this.#useOf(device));
    if (device && classification && (classification.kind === 'matched' || classification.finding)) {
      this.#known.set(key, { device, classification, links: record.links });
    } else this.#known.delete(key);
  }

  #read(key: DeviceKey): Device | undefined {
    return readDevice(key, (named) => isOfInterest(this.classes, named));
  }

  #classify(device: Device, { properties }: UdevRecord, use: DeviceFacts['use']): Classification {
    return classify(device, { classes: this.classes, bootSequence: this.#options.bootSequence, properties, use });
  }

  #useOf({ block, identity }: Device): DiskUse | 'unclear' | 'asking' | undefined {
    if (!block) return undefined;
    const { runDir, isGiven, claims } = this.#options;
    const byNode = usageByNode(block);
    if (byNode?.kind === 'mounted' && byNode.path.startsWith(`${runDir}/`)) claims.requestRelease(byNode.device);
    if (byNode && !mayBeOfContainer(byNode)) return byNode;
    // Searching all other namespaces takes time: it is done before a device is given to anybody, and not each time after.
    if (isGiven(identity)) return undefined;
    const { use, complete } = usageOfFamilyInContainers(block);
    return use ?? byNode ?? (complete ? this.#options.exclusive(block) : 'unclear');
  }
}

/** The node itself has not mounted that btrfs, and loop devices have no owner: it may be the work of those who were given the device. */
const mayBeOfContainer = (use: DiskUse): boolean =>
  (use.kind === 'btrfs' && use.mount === undefined) || use.kind === 'loop';
