import { type BlockDevice, readBlockDevice } from '../../linux/block.ts';
import type { Logger } from '../../observability/logger.ts';
import { openTray } from '../block/open-tray.ts';
import { describeUnknown } from '../containers/held-reports.ts';
import { describeHolder } from '../containers/identity.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { type Mounted, mediaDirectory } from './actual.ts';
import { EjectRequests } from './eject-requests.ts';
import { Ejections } from './ejections.ts';
import { isServed } from './fuse.ts';
import { devicePath } from './run-mount.ts';
import type { MediaState } from './state.ts';
import type { UnmountReport } from './unmount-reports.ts';

/** What came of asking for a disk's ejection: of each of its file systems, and why it is not safe to pull, where it is not. */
export interface Ejection {
  readonly disks: readonly { readonly disk: string; readonly problem?: string }[];
}

export interface EjectorOptions {
  readonly runDir: RunDir;
  readonly log: Logger;
  readonly enqueue: (disk: string) => void;
  /** Resolves when the disk has been reconciled. */
  readonly settled: (disk: string) => Promise<void>;
  readonly stateOf: (disk: string) => MediaState | undefined;
  readonly unmounts: () => readonly UnmountReport[];
}

/** Disks that somebody wants to pull: by `hotmount eject`, or by a file that a pod makes on the disk. */
export class Ejector {
  readonly #options: EjectorOptions;
  readonly #ejections: Ejections;
  readonly #requests: EjectRequests;

  constructor(options: EjectorOptions) {
    this.#options = options;
    this.#ejections = new Ejections(options.runDir);
    this.#requests = new EjectRequests(options.log, (disk) => this.#ejectPart(disk));
  }

  isEjected(device: BlockDevice): boolean {
    return this.#ejections.has(device);
  }

  /** Once it has another medium, or none, a disk counts as ejected no more. @param now what it is now */
  forgetUnlessSame(disk: string, now: BlockDevice | undefined): void {
    this.#ejections.forgetUnlessSame(disk, now);
  }

  /** Unmounts a disk, with its partitions, or one of those, and leaves it alone until it is plugged in anew. @throws where there is no such disk */
  async eject(name: string): Promise<Ejection> {
    const { enqueue, settled } = this.#options;
    const device = readBlockDevice(name);
    if (!device) throw new Error(`there is no disk ${name}: see hotmount status`);
    const parts = device.partitions.flatMap((partition) => readBlockDevice(partition) ?? []);
    this.#ejections.add([device, ...parts]);
    const disks = parts.length > 0 ? parts : [device];
    for (const { name: each } of [device, ...parts]) enqueue(each);
    await Promise.all(disks.map((part) => settled(part.name)));
    return { disks: disks.map((part) => ({ disk: part.name, ...this.#problemOf(part.name) })) };
  }

  /** Somebody has pressed the button of a drive, which is locked while its disc is mounted. Where udevd runs, that opens it, too. */
  async buttonPressed(name: string): Promise<void> {
    const { log, stateOf } = this.#options;
    const device = readBlockDevice(name);
    if (!device || ![name, ...device.partitions].some((each) => stateOf(each)?.kind === 'mounted')) return;
    log.info({ disk: name }, 'somebody has pressed the button of the drive: its disc is ejected');
    const { disks } = await this.eject(name);
    const problem = disks.find((disk) => disk.problem !== undefined)?.problem ?? (await openTray(devicePath(device)));
    if (problem !== undefined) log.warn({ disk: name }, `the drive was not opened: ${problem}`);
  }

  /** Watches for a pod's request. @param mounted undefined where the disk is not mounted */
  follow(disk: string, mounted: Mounted | undefined): void {
    this.#requests.follow(disk, mounted && this.#writablePath(mounted));
  }

  close(): void {
    this.#requests.close();
  }

  /** As a pod asks for it, which has that file system alone. */
  #ejectPart(name: string): void {
    const device = readBlockDevice(name);
    if (!device) return;
    this.#ejections.add([device]);
    this.#options.enqueue(name);
  }

  /** Why a disk that has been ejected cannot be pulled yet. */
  #problemOf(name: string): { readonly problem?: string } {
    const state = this.#options.stateOf(name);
    if (state?.kind === 'mounted') return { problem: 'it is still mounted' };
    if (state?.kind === 'failed') return { problem: state.message };
    const report = this.#options.unmounts().find((each) => each.name === name);
    const [holder] = report?.holders ?? [];
    if (holder) return { problem: `it is unmounted, and ${describeHolder(holder)}: what that writes now may be lost` };
    const unknown = report?.holdersProblem;
    return unknown === undefined ? {} : { problem: `it is unmounted, and ${describeUnknown(unknown)}` };
  }

  /** A FUSE program that hangs would have whoever looks at its mount wait. */
  #writablePath({ className, directory, record, main }: Mounted): string | undefined {
    if (record.options.includes('ro') || isServed({ main })) return undefined;
    return `${this.#options.runDir.path}/${mediaDirectory('media', className, directory)}`;
  }
}
