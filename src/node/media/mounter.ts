import type { FileSystem } from '../../linux/blkid.ts';
import { type BlockDevice, readBlockDevice } from '../../linux/block.ts';
import { deviceNumber } from '../../linux/device-number.ts';
import { MountChild } from '../../linux/mount-child.ts';
import type { Logger } from '../../observability/logger.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { type Mounted, readMounted } from './actual.ts';
import type { DesiredMount } from './desired.ts';
import { mountDisk } from './mount.ts';
import { isSameMedium } from './plan.ts';
import type { PodTree } from './pod-trees.ts';
import { type Attempt, devicePath, type MountTools } from './run-mount.ts';
import { showToPods } from './show.ts';

export interface MounterOptions {
  readonly runDir: RunDir;
  readonly log: Logger;
  /** Seconds from the event (or from asking, where there was none) until the disk could be read. */
  readonly onMounted?: (className: string, seconds: number) => void;
}

/** Mounts disks, each under a name that no other disk has or is about to get. */
export class Mounter {
  readonly #options: MounterOptions;
  /** Names of disks that are being mounted, `class/name`. */
  readonly #reserved = new Set<string>();
  readonly #mount = new MountChild();
  /** Mounts of btrfs that are on their way, by UUID: one on several disks is to be mounted by one of them. */
  readonly #btrfs = new Map<string, Promise<unknown>>();

  constructor(options: MounterOptions) {
    this.#options = options;
  }

  /** Which btrfs a disk belongs to: one on several disks can only be mounted by naming the others to the kernel, where no udevd has. */
  readonly #members = new Map<string, { readonly device: BlockDevice; readonly uuid: string }>();

  /** What has been found on a disk. */
  learn(device: BlockDevice, { type, uuid }: FileSystem): void {
    if (type === 'btrfs') this.#members.set(device.name, { device, uuid });
    else this.#members.delete(device.name);
  }

  /** The other disks that belong to the same btrfs, as paths. */
  #peersOf(name: string, { type, uuid }: FileSystem): string[] {
    if (type !== 'btrfs') return [];
    return [...this.#members.values()].flatMap((member) => {
      const { device } = member;
      const isPeer = member.uuid === uuid && device.name !== name && isSameMedium(device, readBlockDevice(device.name));
      return isPeer && deviceNumber(devicePath(device)) === device.device ? devicePath(device) : [];
    });
  }

  /** Starts a child ahead of the next disk. To be called when nothing more urgent is waiting. */
  prepare(): void {
    this.#mount.prepare();
  }

  /**
   * Where another disk of the same btrfs is just being mounted, waits for that and does nothing: whether it is still to be mounted is then
   * another question.
   * @param at when it was asked for, in ms since the epoch
   */
  async mount(device: BlockDevice, desired: DesiredMount, at: number): Promise<Attempt> {
    const { type, uuid } = desired.fileSystem;
    if (type !== 'btrfs') return this.#mountNow(device, desired, at);
    const other = this.#btrfs.get(uuid);
    if (other) {
      await other;
      return { finding: undefined };
    }
    const turn = this.#mountNow(device, desired, at);
    this.#btrfs.set(
      uuid,
      turn.catch(() => {}),
    );
    try {
      return await turn;
    } finally {
      this.#btrfs.delete(uuid);
    }
  }

  /** Shows a mounted disk to pods with users of their own. */
  show(device: BlockDevice, mounted: Mounted, to: readonly PodTree[]): ReturnType<typeof showToPods> {
    return showToPods(this.#toolsFor(device, mounted.record.fileSystem), device, mounted, to);
  }

  #toolsFor({ name }: BlockDevice, fileSystem: FileSystem): MountTools {
    return { runDir: this.#options.runDir, mount: this.#mount, peers: this.#peersOf(name, fileSystem) };
  }

  async #mountNow(device: BlockDevice, desired: DesiredMount, at: number): Promise<Attempt> {
    const { runDir, log, onMounted } = this.#options;
    const { className, fileSystem } = desired;
    const inUse = new Set(readMounted(runDir).map((mounted) => `${mounted.className}/${mounted.directory}`));
    let reserved = '';
    const reserve = (directory: string): boolean => {
      const key = `${className}/${directory}`;
      if (inUse.has(key) || this.#reserved.has(key)) return false;
      this.#reserved.delete(reserved);
      this.#reserved.add(key);
      reserved = key;
      return true;
    };
    try {
      const attempt = await mountDisk(this.#toolsFor(device, fileSystem), device, desired, reserve);
      if (attempt.finding) return attempt;
      const seconds = (performance.timeOrigin + performance.now() - at) / 1000;
      onMounted?.(className, seconds);
      const { directory } = attempt;
      log.info({ disk: device.name, class: className, directory, fsType: fileSystem.type, seconds }, 'mounted');
      return attempt;
    } finally {
      this.#reserved.delete(reserved);
    }
  }
}
