import type { Probe } from '../../linux/blkid.ts';
import { type BlockDevice, blockDeviceNames, readBlockDevice } from '../../linux/block.ts';
import { errorCode } from '../../linux/errors.ts';
import { readMountinfo } from '../../linux/mountinfo.ts';
import type { Logger } from '../../observability/logger.ts';
import type { MediaClass } from '../../policy/index.ts';
import type { DiskClaims } from '../block/disk-claims.ts';
import type { ExclusiveOpener, Exclusivity } from '../block/exclusive-opener.ts';
import { PartitionTypes } from '../block/partition-types.ts';
import { Prober } from '../block/prober.ts';
import { ContainerUsage, type DiskUse, usageByNode } from '../containers/disk-usage.ts';
import { describeHolder } from '../containers/identity.ts';
import { finding } from '../reasons.ts';
import { KeyedQueue } from '../reconcile/keyed-queue.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { type Mounted, mediaDirectory, readMounted } from './actual.ts';
import { CrashLog } from './crashes.ts';
import { makeClassDirectories, removeDirectories, strayDirectories } from './directories.ts';
import { EjectRequests } from './eject-requests.ts';
import { Ejections } from './ejections.ts';
import { ANSWER_DEADLINE, type Answer, askServer, isServed } from './fuse.ts';
import { type Attempt, makeTwin } from './mount.ts';
import { Mounter } from './mounter.ts';
import { isBroken, MEDIA_NOTES, type MediaNote, notesOn } from './notes.ts';
import { isGone, isSameMedium, plan, type Step } from './plan.ts';
import { type MediaState, MediaStates } from './state.ts';
import type { UnmountReport } from './unmount-reports.ts';
import { Unmounter } from './unmounter.ts';

export interface MediaControllerOptions {
  readonly runDir: RunDir;
  readonly bootSequence: number;
  readonly classes: readonly MediaClass[];
  readonly log: Logger;
  readonly opener: ExclusiveOpener;
  readonly claims: DiskClaims;
  /** Seconds from the event (or from asking, where there was none) until the disk could be read. */
  readonly onMounted?: (className: string, seconds: number) => void;
}

/** What came of asking for a disk's ejection: of each of its file systems, and why it is not safe to pull, where it is not. */
export interface Ejection {
  readonly disks: readonly { readonly disk: string; readonly problem?: string }[];
}

/** What a probe has found out about a disk. */
interface Known {
  /** What it was found out about: another one may have come by the same name. */
  readonly device: BlockDevice;
  readonly probe: Probe;
  readonly use: DiskUse | undefined;
}

/** Steps for one reconciliation: a disk that keeps changing is left for its next event. */
const MAX_STEPS = 12;

/** Keeps the mounts of media what they should be: all disks at once, and one step at a time for each. */
export class MediaController {
  readonly #options: MediaControllerOptions;
  readonly #jobs = new KeyedQueue<string>((name) => this.#reconcile(name));
  #classes: readonly MediaClass[];
  readonly #states: MediaStates;
  readonly #requestedAt = new Map<string, number>();
  /** Disks with a child process that hangs in the kernel, and the step that it is for. */
  readonly #stuck = new Map<string, Step['do'] | 'ask'>();
  /** The step that a child process works on, by disk. */
  readonly working = new Map<string, { readonly doing: Step['do']; readonly since: string }>();
  readonly #mounter: Mounter;
  readonly #unmounter: Unmounter;
  readonly #crashes = new CrashLog();
  readonly #toldBroken = new Set<string>();
  /**
   * Disks that may have had another medium, or another user, before this daemon came: mount(2) would join what the kernel still has of it. Of
   * one that has just come it has nothing, and refuses by itself what somebody else holds.
   */
  readonly #hasPast = new Set(blockDeviceNames());
  readonly #ejections: Ejections;
  readonly #ejectRequests: EjectRequests;
  readonly #prober = new Prober();
  readonly #partitionTypes = new PartitionTypes();
  readonly #containerUse = new ContainerUsage();

  constructor(options: MediaControllerOptions) {
    this.#options = options;
    this.#classes = options.classes;
    this.#states = new MediaStates(options.log, (name) => this.enqueue(name));
    this.#mounter = new Mounter(options);
    this.#unmounter = new Unmounter({ ...options, onReleased: (name) => this.enqueue(name) });
    options.claims.releaseBy((name) => this.enqueue(name));
    this.#ejections = new Ejections(options.runDir);
    this.#ejectRequests = new EjectRequests(options.log, (name) => this.#ejectPart(name));
    this.#prepare();
    this.#removeStrays(readMounted(options.runDir));
  }

  /** Disks that went lately, the last one first. */
  get unmounts(): readonly UnmountReport[] {
    return this.#unmounter.reports;
  }

  get states(): ReadonlyMap<string, MediaState> {
    return this.#states.byDisk;
  }

  /** New classes: what they change is done at once. @throws Node's error where their directories cannot be made; all else is done */
  setClasses(classes: readonly MediaClass[]): void {
    this.#classes = classes;
    try {
      makeClassDirectories(this.#options.runDir, classes);
    } finally {
      this.resync();
    }
  }

  /** @param at when its event was received, in ms since the epoch */
  enqueue(name: string, at = performance.timeOrigin + performance.now()): void {
    if (!this.#requestedAt.has(name)) this.#requestedAt.set(name, at);
    this.#jobs.request(name);
  }

  /** Every disk that is there, or that something is known of. */
  resync(): void {
    const names = new Set([...blockDeviceNames(), ...this.states.keys()]);
    for (const { record } of readMounted(this.#options.runDir)) names.add(record.name);
    for (const name of names) this.enqueue(name);
  }

  /** Some mount has come or gone: enqueues the disks whose state may have changed by that. */
  mountsChanged(): void {
    this.readNotes();
    const mounts = readMountinfo();
    const present = new Set(mounts.map(({ id }) => id));
    const expected = new Map<string, number>();
    const mounted = readMounted(this.#options.runDir, mounts);
    this.#removeStrays(mounted);
    for (const { record, main, twin } of mounted) {
      expected.set(record.name, (expected.get(record.name) ?? 0) + main.length + twin.length);
    }
    for (const [name, state] of this.states) {
      if (state.kind === 'mounted') {
        const { main, twin } = state.mounted;
        const intact = [...main, ...twin].every(({ id }) => present.has(id));
        const isAsBefore = intact && expected.get(name) === main.length + twin.length;
        // No table and no event tells that a FUSE program has died: it is asked at every opportunity.
        if (!isAsBefore || isServed(state.mounted) || readBlockDevice(name)?.isSevered) this.enqueue(name);
      }
      expected.delete(name);
    }
    for (const name of [...expected.keys(), ...this.#states.inUse]) this.enqueue(name);
  }

  /** What is to be known of the mounted disks, as it is now. No event tells that a file system has turned read-only: it is logged when it is seen. */
  readNotes(): ReadonlyMap<string, readonly MediaNote[]> {
    const mounts = new Map(readMountinfo().map((mount) => [mount.id, mount]));
    const notes = new Map<string, readonly MediaNote[]>();
    for (const [name, state] of this.states) {
      if (state.kind !== 'mounted') continue;
      const { record, main } = state.mounted;
      const now = mounts.get(main[0]?.id ?? -1);
      notes.set(name, notesOn(record, now));
      if (!now || !isBroken(record, now)) this.#toldBroken.delete(name);
      else if (!this.#toldBroken.has(name)) {
        this.#toldBroken.add(name);
        this.#options.log.error({ disk: name, reason: 'turned_read_only' }, MEDIA_NOTES.turned_read_only);
      }
    }
    return notes;
  }

  /** Unmounts a disk, with its partitions, or one of those, and leaves it alone until it is plugged in anew. @throws where there is no such disk */
  async eject(name: string): Promise<Ejection> {
    const device = readBlockDevice(name);
    if (!device) throw new Error(`there is no disk ${name}: see hotmount status`);
    const parts = device.partitions.flatMap((partition) => readBlockDevice(partition) ?? []);
    this.#ejections.add([device, ...parts]);
    const disks = parts.length > 0 ? parts : [device];
    for (const { name: each } of [device, ...parts]) this.enqueue(each);
    await Promise.all(disks.map((part) => this.#jobs.settled(part.name)));
    return { disks: disks.map((part) => ({ disk: part.name, ...this.#problemOf(part.name) })) };
  }

  close(): void {
    this.#ejectRequests.close();
  }

  /** As a pod asks for it, which has that file system alone. */
  #ejectPart(name: string): void {
    const device = readBlockDevice(name);
    if (!device) return;
    this.#ejections.add([device]);
    this.enqueue(name);
  }

  /** Why a disk that has been ejected cannot be pulled yet. */
  #problemOf(name: string): { readonly problem?: string } {
    const state = this.states.get(name);
    if (state?.kind === 'mounted') return { problem: 'it is still mounted' };
    if (state?.kind === 'failed') return { problem: state.message };
    const [holder] = this.unmounts.find((report) => report.name === name)?.holders ?? [];
    return holder
      ? { problem: `it is unmounted, and ${describeHolder(holder)}: what that writes now may be lost` }
      : {};
  }

  /** Resolves when there is nothing more to do for now. */
  idle(): Promise<void> {
    return this.#jobs.idle();
  }

  async #reconcile(name: string): Promise<void> {
    const at = this.#requestedAt.get(name) ?? 0;
    this.#requestedAt.delete(name);
    try {
      if (this.#isBlocked(name)) return;
      this.#states.begin(name);
      let known: Known | undefined;
      const { died, hangs } = await this.#askServer(name);
      let serverDied = died;
      if (this.#isBlocked(name)) return;
      for (let steps = 0; steps < MAX_STEPS; steps++) {
        const device = readBlockDevice(name);
        if (known && !isSameMedium(known.device, device)) known = undefined;
        const step = this.#plan(name, device, known, serverDied);
        if (step.do === 'nothing') {
          const isSaid = hangs && step.outcome && !('reason' in step.outcome);
          return isSaid ? undefined : await this.#settle(name, step);
        }
        this.working.set(name, { doing: step.do, since: new Date().toISOString() });
        if (step.do === 'probe') known = device && (await this.#probe(device));
        else if (!(await this.#perform(name, device, step, at))) return;
        if (step.do === 'unmount') serverDied = false;
      }
      this.#options.log.warn({ disk: name }, 'the disk keeps changing: waiting for its next event');
    } catch (error) {
      // Whatever it is, it must not take the other disks along.
      if (errorCode(error) === undefined) this.#options.log.error({ disk: name, err: error }, 'a defect of hotmount');
      this.#states.fail(name, finding('unexpected', { detail: (error as Error).message }));
    } finally {
      this.working.delete(name);
      if (this.working.size === 0) this.#prepare();
      this.#states.end(name);
    }
  }

  #mountsOf(name: string): Mounted[] {
    return readMounted(this.#options.runDir).filter(({ record }) => record.name === name);
  }

  /** Starts child processes ahead of the next disk. */
  #prepare(): void {
    this.#prober.prepare();
    this.#options.opener.prepare();
    this.#partitionTypes.prepare();
    this.#mounter.prepare();
  }

  /** Of a disk that is mounted by a FUSE program: whether that has died, or hangs. */
  async #askServer(name: string): Promise<Pick<Answer, 'died' | 'hangs'>> {
    const { log } = this.#options;
    const [mounted] = this.#mountsOf(name);
    if (!mounted || !isServed(mounted) || isGone(readBlockDevice(name), mounted.record)) {
      return { died: false, hangs: false };
    }
    const answer = await askServer(mounted);
    this.#awaitStuck(name, 'ask', answer.stuck);
    if (answer.died) {
      log.warn({ disk: name }, 'the FUSE program that served it has died: it is mounted anew');
      this.#crashes.died(name, Date.now() - Date.parse(mounted.record.since));
    }
    if (answer.hangs) {
      this.#states.fail(name, finding('device_hangs', { command: 'stat', seconds: String(ANSWER_DEADLINE / 1000) }));
    }
    return answer;
  }

  #plan(name: string, device: BlockDevice | undefined, known: Known | undefined, serverDied: boolean): Step {
    const { bootSequence, claims } = this.#options;
    const mounted = this.#mountsOf(name);
    const rawClass = device && (() => claims.claimOn(device));
    // Crashes on the last medium say nothing about the next.
    this.#ejections.forget(name, device);
    if (!device) this.#hasPast.delete(name);
    else if (mounted.length > 0) this.#hasPast.add(name);
    if (!device || device.size === 0) this.#crashes.forget(name);
    // Who uses the disk on the node is asked before it is probed; who does in a container, by the probe.
    const use = device && (() => (known ? this.#usageSinceProbe(known) : this.#usageByNode(device)));
    return plan(device, mounted, known?.probe, {
      classes: this.#classes,
      bootSequence,
      use,
      rawClass,
      serverDied,
      crashes: this.#crashes.of(name),
      isEjected: device !== undefined && this.#ejections.has(device),
    });
  }

  /** A btrfs that the node has not mounted, some container has, or did: the probe finds out. */
  #usageByNode(device: BlockDevice): DiskUse | undefined {
    const use = usageByNode(device, this.#options.runDir.path);
    return use?.kind === 'btrfs' && !use.mount ? undefined : use;
  }

  /** Another member of the same btrfs may have been mounted since. */
  #usageSinceProbe({ device, probe, use }: Known): DiskUse | undefined {
    if (use || probe.outcome !== 'found' || probe.fileSystem.type !== 'btrfs') return use;
    return this.#usageByNode(device);
  }

  /** Reads what is on it, and meanwhile finds out whether some container has it. */
  async #probe(device: BlockDevice): Promise<Known> {
    const [found, partType, byContainer, exclusivity] = await Promise.all([
      this.#prober.probe(device),
      this.#partitionTypes.of(device),
      this.#containerUse.of(device),
      this.#hasPast.has(device.name) ? this.#options.opener.ask(device) : ('free' as const),
    ]);
    const probe: Probe =
      found.outcome === 'found' && partType !== undefined
        ? { ...found, fileSystem: { ...found.fileSystem, partType } }
        : found;
    if (probe.outcome === 'found') this.#mounter.learn(device, probe.fileSystem);
    if (probe.outcome === 'hung') this.#awaitStuck(device.name, 'probe', probe.stuck);
    return { device, probe, use: byContainer ?? this.#claimOn(device, probe, exclusivity) };
  }

  /** What is left of our own mount, which somebody keeps by an open file, is that medium's file system, and mounted again as it is. */
  #claimOn(device: BlockDevice, probe: Probe, exclusivity: Exclusivity): DiskUse | undefined {
    if (this.#unmounter.isSameMedium(device)) return undefined;
    const isBtrfs = probe.outcome === 'found' && probe.fileSystem.type === 'btrfs';
    const use = isBtrfs || exclusivity !== 'free' ? usageByNode(device, this.#options.runDir.path) : undefined;
    return use ?? (exclusivity === 'free' ? undefined : { kind: exclusivity });
  }

  /** Whether planning goes on: false where the step failed. */
  async #perform(
    name: string,
    device: BlockDevice | undefined,
    step: Exclude<Step, { do: 'nothing' | 'probe' }>,
    at: number,
  ): Promise<boolean> {
    const { finding: failure, stuck } = await this.#attempt(name, device, step, at);
    this.#awaitStuck(name, step.do, stuck);
    if (failure) this.#states.fail(name, failure);
    return failure === undefined;
  }

  async #attempt(
    name: string,
    device: BlockDevice | undefined,
    step: Exclude<Step, { do: 'nothing' | 'probe' }>,
    at: number,
  ): Promise<Attempt> {
    if (step.do === 'make-twin') return makeTwin(this.#options.runDir, step.mounted);
    if (step.do === 'mount') {
      return device ? this.#mounter.mount(device, step.desired, at) : { finding: undefined };
    }
    return this.#unmounter.unmount(name, step.mounted, step.gone);
  }

  async #settle(name: string, { outcome }: Extract<Step, { do: 'nothing' }>): Promise<void> {
    const wait = this.#crashes.of(name)?.wait;
    if (wait !== undefined) setTimeout(() => this.enqueue(name), wait).unref();
    const left = outcome ? undefined : await this.#unmounter.detachAgain(name);
    if (left) this.#states.fail(name, left);
    else this.#states.rest(name, outcome);
    this.#ejectRequests.follow(name, outcome && 'record' in outcome ? this.#writablePath(outcome) : undefined);
  }

  /** A FUSE program that hangs would have whoever looks at its mount wait. */
  #writablePath({ className, directory, record, main }: Mounted): string | undefined {
    if (record.options.includes('ro') || isServed({ main })) return undefined;
    return `${this.#options.runDir.path}/${mediaDirectory('media', className, directory)}`;
  }

  /** While a child hangs, nothing is done for the disk. One that only asked a FUSE program blocks nothing once the disk is gone. */
  #isBlocked(name: string): boolean {
    const doing = this.#stuck.get(name);
    if (doing !== 'ask') return doing !== undefined;
    const [mounted] = this.#mountsOf(name);
    return mounted !== undefined && !isGone(readBlockDevice(name), mounted.record);
  }

  /** A child hangs: no other is started for this disk until the kernel lets it go. */
  #awaitStuck(name: string, doing: Step['do'] | 'ask', stuck: Promise<void> | undefined): void {
    if (!stuck) return;
    this.#stuck.set(name, doing);
    void stuck.then(() => {
      this.#stuck.delete(name);
      this.enqueue(name);
    });
  }

  #removeStrays(mounted: readonly Mounted[]): void {
    const { runDir, log } = this.#options;
    const stray = strayDirectories(runDir, mounted, (disk) => this.#jobs.isRunning(disk));
    removeDirectories(runDir, stray).catch((error) => log.error({ err: error }, 'directories without a mount stay'));
  }
}
