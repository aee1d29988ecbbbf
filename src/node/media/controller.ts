import { type BlockDevice, blockDeviceNames, readBlockDevice } from '../../linux/block.ts';
import { errorCode } from '../../linux/errors.ts';
import { readMountinfo } from '../../linux/mountinfo.ts';
import type { Logger } from '../../observability/logger.ts';
import type { MediaClass } from '../../policy/index.ts';
import type { DiskClaims } from '../block/disk-claims.ts';
import type { ExclusiveOpener } from '../block/exclusive-opener.ts';
import { finding } from '../reasons.ts';
import { KeyedQueue } from '../reconcile/keyed-queue.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { type Mounted, readMounted } from './actual.ts';
import { isWanted } from './desired.ts';
import { makeClassDirectories, removeDirectories, strayDirectories } from './directories.ts';
import { type Ejection, Ejector } from './ejector.ts';
import { ANSWER_DEADLINE, type Answer } from './fuse.ts';
import { FuseServers } from './fuse-servers.ts';
import { Inspector, type Known } from './inspector.ts';
import { makeTwin } from './mount.ts';
import { disksThatChanged } from './mount-changes.ts';
import { Mounter } from './mounter.ts';
import { NoteReader } from './note-reader.ts';
import type { MediaNote } from './notes.ts';
import { isSameMedium, plan, type Step } from './plan.ts';
import type { PodTree } from './pod-trees.ts';
import type { Attempt } from './run-mount.ts';
import type { NotShown } from './show.ts';
import { type Space, SpaceReader } from './space.ts';
import { type MediaState, MediaStates } from './state.ts';
import { StuckChildren } from './stuck-children.ts';
import type { UnmountReport } from './unmount-reports.ts';
import { Unmounter } from './unmounter.ts';
import { WriteWatch } from './write-watch.ts';

export interface MediaControllerOptions {
  readonly runDir: RunDir;
  readonly bootSequence: number;
  readonly classes: readonly MediaClass[];
  readonly log: Logger;
  readonly opener: ExclusiveOpener;
  readonly claims: DiskClaims;
  /** Of pods with users of their own that have the class. */
  readonly podTrees?: (className: string) => readonly PodTree[];
  /** Seconds from the event (or from asking, where there was none) until the disk could be read. */
  readonly onMounted?: (className: string, seconds: number) => void;
  /** What is mounted may be another now. */
  readonly onReconciled?: () => void;
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
  /** The step that a child process works on, by disk. */
  readonly working = new Map<string, { readonly doing: Step['do']; readonly since: string }>();
  readonly #mounter: Mounter;
  readonly #unmounter: Unmounter;
  readonly #inspector: Inspector;
  readonly #stuck: StuckChildren;
  readonly #servers: FuseServers;
  readonly #ejector: Ejector;
  readonly #notes: NoteReader;
  readonly #space = new SpaceReader();
  readonly #writeWatch = new WriteWatch((name) => this.enqueue(name));

  constructor(options: MediaControllerOptions) {
    const { runDir, log, opener, claims } = options;
    const enqueue = (name: string): void => this.enqueue(name);
    this.#options = options;
    this.#classes = options.classes;
    this.#states = new MediaStates(log, enqueue);
    this.#mounter = new Mounter(options);
    this.#unmounter = new Unmounter({ runDir, log, onReleased: enqueue });
    this.#inspector = new Inspector({
      runDir,
      log,
      opener,
      isSameMedium: (device) => this.#unmounter.isSameMedium(device),
      isWanted: (device, probe) => isWanted(device, probe, this.#classes, options.bootSequence),
    });
    this.#stuck = new StuckChildren(runDir, enqueue);
    this.#servers = new FuseServers(log);
    this.#notes = new NoteReader(log);
    this.#ejector = new Ejector({
      runDir,
      log,
      enqueue,
      settled: (name) => this.#jobs.settled(name),
      stateOf: (name) => this.states.get(name),
      unmounts: () => this.unmounts,
    });
    claims.releaseBy(enqueue);
    this.#prepare();
    this.#removeStrays(readMounted(runDir));
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

  /** The kernel has made a disk. @param at when its event was received, in ms since the epoch */
  added(name: string, at: number): void {
    this.#inspector.added(name);
    this.enqueue(name, at);
  }

  /** @param at when its event was received, in ms since the epoch */
  enqueue(name: string, at = performance.timeOrigin + performance.now()): void {
    if (!this.#requestedAt.has(name)) this.#requestedAt.set(name, at);
    this.#jobs.request(name);
  }

  /** Disks of these classes are to be shown to a pod. */
  podsChanged(classes: ReadonlySet<string>): void {
    for (const [name, state] of this.states) {
      if (state.kind === 'mounted' && classes.has(state.mounted.className)) this.enqueue(name);
    }
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
    const mounted = readMounted(this.#options.runDir, mounts);
    this.#removeStrays(mounted);
    for (const name of [...disksThatChanged(this.states, mounts, mounted), ...this.#states.inUse]) this.enqueue(name);
  }

  /** What is to be known of the mounted disks, as it is now. */
  readNotes(): ReadonlyMap<string, readonly MediaNote[]> {
    return this.#notes.read(this.states);
  }

  /** How full the mounted disks are. It may take some seconds. */
  readSpace(): Promise<ReadonlyMap<string, Space>> {
    return this.#space.read([...this.states.values()].flatMap((s) => (s.kind === 'mounted' ? [s.mounted] : [])));
  }

  /** Unmounts a disk, with its partitions, or one of those, and leaves it alone until it is plugged in anew. @throws where there is no such disk */
  eject(name: string): Promise<Ejection> {
    return this.#ejector.eject(name);
  }

  /** Somebody has pressed the button of a drive, which asks for its ejection. */
  buttonPressed(name: string): void {
    this.#ejector.buttonPressed(name).catch((error) => {
      this.#options.log.error({ disk: name, err: error }, 'the disc could not be ejected');
    });
  }

  close(): void {
    this.#ejector.close();
    this.#writeWatch.close();
  }

  /** Resolves when there is nothing more to do for now. */
  idle(): Promise<void> {
    return this.#jobs.idle();
  }

  async #reconcile(name: string): Promise<void> {
    const at = this.#requestedAt.get(name) ?? 0;
    this.#requestedAt.delete(name);
    try {
      if (this.#stuck.isBlocked(name)) return;
      this.#states.begin(name);
      let known: Known | undefined;
      const notShown: NotShown[] = [];
      const { died, hangs } = await this.#askServer(name);
      let serverDied = died;
      if (this.#stuck.isBlocked(name)) return;
      for (let steps = 0; steps < MAX_STEPS; steps++) {
        const device = readBlockDevice(name);
        if (known && !isSameMedium(known.device, device)) known = undefined;
        const step = this.#plan(name, device, known, { serverDied, notShown });
        if (step.do === 'nothing') {
          const isSaid = hangs && step.outcome && !('reason' in step.outcome);
          return isSaid ? undefined : await this.#settle(name, step, known, notShown);
        }
        this.working.set(name, { doing: step.do, since: new Date().toISOString() });
        if (step.do === 'probe') known = device && (await this.#inspect(device));
        else if (!(await this.#perform(name, device, step, { at, notShown }))) return;
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
      this.#inspector.reconciled(name);
      this.#options.onReconciled?.();
    }
  }

  #mountsOf(name: string): Mounted[] {
    return readMounted(this.#options.runDir).filter(({ record }) => record.name === name);
  }

  /** Starts child processes ahead of the next disk. */
  #prepare(): void {
    this.#inspector.prepare();
    this.#options.opener.prepare();
    this.#mounter.prepare();
  }

  /** Of a disk that is mounted by a FUSE program: whether that has died, or hangs. */
  async #askServer(name: string): Promise<Pick<Answer, 'died' | 'hangs'>> {
    const answer = await this.#servers.ask(name, this.#mountsOf(name)[0]);
    this.#stuck.add(name, 'ask', answer.stuck);
    if (answer.hangs) {
      this.#states.fail(name, finding('device_hangs', { command: 'stat', seconds: String(ANSWER_DEADLINE / 1000) }));
    }
    return answer;
  }

  /** @param notShown pods that have been tried in vain this time */
  #plan(
    name: string,
    device: BlockDevice | undefined,
    known: Known | undefined,
    { serverDied, notShown }: { readonly serverDied: boolean; readonly notShown: readonly NotShown[] },
  ): Step {
    const { bootSequence, claims } = this.#options;
    const podTrees = (className: string): readonly PodTree[] =>
      this.#options.podTrees?.(className).filter(({ tree }) => !notShown.some((one) => one.tree === tree)) ?? [];
    const mounted = this.#mountsOf(name);
    const rawClass = device && (() => claims.claimOn(device));
    this.#ejector.forgetUnlessSame(name, device);
    if (!device) this.#inspector.forget(name);
    else if (mounted.length > 0) this.#inspector.remember(name);
    if (!device || device.size === 0) this.#servers.forget(name);
    const use = device && (() => this.#inspector.useOf(device, known));
    return plan(device, mounted, known?.probe, {
      classes: this.#classes,
      bootSequence,
      use,
      rawClass,
      serverDied,
      podTrees,
      arePartitionsEmpty: () => this.#states.areEmpty(device?.partitions ?? []),
      crashes: this.#servers.crashesOf(name),
      isEjected: device !== undefined && this.#ejector.isEjected(device),
    });
  }

  async #inspect(device: BlockDevice): Promise<Known> {
    this.#inspector.pollMedium(device);
    const known = await this.#inspector.inspect(device);
    const { probe } = known;
    if (probe.outcome === 'found') this.#mounter.learn(device, probe.fileSystem);
    if (probe.outcome === 'hung') this.#stuck.add(device.name, 'probe', probe.stuck);
    return known;
  }

  /** Whether planning goes on: false where the step failed. */
  async #perform(
    name: string,
    device: BlockDevice | undefined,
    step: Exclude<Step, { do: 'nothing' | 'probe' }>,
    so: { readonly at: number; readonly notShown: NotShown[] },
  ): Promise<boolean> {
    const { finding: failure, stuck } = await this.#attempt(name, device, step, so);
    this.#stuck.add(name, step.do, stuck);
    if (failure) this.#states.fail(name, failure);
    return failure === undefined;
  }

  async #attempt(
    name: string,
    device: BlockDevice | undefined,
    step: Exclude<Step, { do: 'nothing' | 'probe' }>,
    { at, notShown }: { readonly at: number; readonly notShown: NotShown[] },
  ): Promise<Attempt> {
    if (step.do === 'unmount') return this.#unmounter.unmount(name, step.mounted, step.gone);
    if (step.do === 'make-twin') return makeTwin(this.#options.runDir, step.mounted);
    if (!device) return { finding: undefined };
    if (step.do === 'mount') return this.#mounter.mount(device, step.desired, at);
    const shown = await this.#mounter.show(device, step.mounted, step.to);
    notShown.push(...shown.notShown);
    return shown;
  }

  async #settle(
    name: string,
    { outcome }: Extract<Step, { do: 'nothing' }>,
    known: Known | undefined,
    notShown: readonly NotShown[],
  ): Promise<void> {
    // What is on it has been looked at, and is nothing to mount.
    if (known && outcome && 'reason' in outcome) this.#writeWatch.follow(known.device);
    else this.#writeWatch.forget(name);
    const wait = this.#servers.crashesOf(name)?.wait;
    if (wait !== undefined) setTimeout(() => this.enqueue(name), wait).unref();
    const left = outcome ? undefined : await this.#unmounter.detachAgain(name);
    if (left) this.#states.fail(name, left);
    else this.#states.rest(name, outcome, notShown);
    // What is not on a partition may be on the whole disk.
    if (known?.device.isPartition && this.#states.areEmpty([name])) this.enqueue(known.device.disk);
    this.#ejector.follow(name, outcome && 'record' in outcome ? outcome : undefined);
  }

  #removeStrays(mounted: readonly Mounted[]): void {
    const { runDir, log } = this.#options;
    const stray = strayDirectories(runDir, mounted, (disk) => this.#jobs.isRunning(disk));
    removeDirectories(runDir, stray).catch((error) => log.error({ err: error }, 'directories without a mount stay'));
  }
}
