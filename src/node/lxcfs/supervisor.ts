import { closeSync } from 'node:fs';
import { LXCFS_VIEWS, type LxcfsView } from '../../contract/wants.ts';
import { MountReplacer } from '../../linux/mount-replacer.ts';
import type { Mount } from '../../linux/mountinfo.ts';
import { namespaceOf } from '../../linux/namespaces.ts';
import type { Wakeups } from '../../linux/wakeups.ts';
import type { Logger } from '../../observability/logger.ts';
import type { RunDir } from '../run-dir.ts';
import { Starts } from '../starts.ts';
import { BackOff } from './back-off.ts';
import { type Cgroups, findCgroups, removeLeftCgroups } from './cgroups.ts';
import { instanceIds, mountedDevice, prepareDirectories, publish, publishedId } from './directories.ts';
import { adoptInstance, type Instance, startInstance } from './instance.ts';
import { createLxcfsMetrics, type LxcfsMetrics } from './metrics.ts';
import { isAlive, probeInstance } from './probe.ts';
import { findProgram, fingerprintNow, type Program, Unfit } from './program.ts';
import { type Healed, Reattach } from './reattach.ts';
import { FILES } from './reattach-plan.ts';
import type { Gap, LxcfsStatus } from './status.ts';
import { type Member, nextStep } from './supervision.ts';

export interface SupervisorOptions {
  readonly runDir: RunDir;
  readonly views: readonly LxcfsView[];
  readonly wakeups: Wakeups;
  readonly version: string;
  readonly log: Logger;
  /** ms between two looks whether the instances still answer, and whether another lxcfs has been installed. */
  readonly checkEvery: number;
  readonly policySource: string;
}

interface Running {
  readonly instance: Instance;
  phase: Member['phase'];
  files: ReadonlyMap<string, number>;
  /** Published no more since then, in ms of `performance.now()`. */
  leftAt?: number;
}

/** ms for which an instance that is replaced goes on answering those who have its files open. */
const GRACE = 3000;
/** ms after a container's start at which the whole node is looked at: what was missed is found then. */
const LOOKS_AFTER_START = [300, 2000, 10_000];
/** ms between two tries where there is no fit lxcfs. */
const UNFIT_RETRY = 10_000;

/** Keeps an active lxcfs and a warm standby, and the containers of the node on the active one. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #startedAt = new Date().toISOString();
  readonly #replacer = new MountReplacer();
  readonly #reattach = new Reattach(this.#replacer);
  readonly #members = new Map<string, Running>();
  readonly #backOff = new BackOff();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly metrics: LxcfsMetrics;
  #views: readonly LxcfsView[];
  #cgroups: Cgroups | undefined;
  #program: Program | undefined;
  #starts: Starts | undefined;
  #isStarting = false;
  #healing = 0;
  #isClosed = false;
  #problem: string | undefined = 'starting';
  #lostAt: { at: number; cause: Gap['cause'] } | undefined;
  #lastGap: Gap | undefined;
  #restarts = 0;
  /** At the last check no instance answered. */
  #wasSilent = false;
  #looks: NodeJS.Timeout[] = [];

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#views = options.views;
    this.metrics = createLxcfsMetrics(() => this.status());
  }

  /** Takes over what an earlier supervisor left running, and goes on from there. */
  async start(): Promise<void> {
    const { runDir, wakeups, log } = this.#options;
    prepareDirectories(runDir);
    await this.#replacer.warmUp();
    for (const id of instanceIds(runDir)) {
      const adopted = adoptInstance(runDir, id, wakeups, log, () => this.#lost(id, 'died'));
      if (!adopted) continue;
      log.info({ instance: id, pid: adopted.record.pid, lxcfs: adopted.record.version }, 'adopted a running lxcfs');
      this.#members.set(id, { instance: adopted, phase: 'unproven', files: new Map() });
    }
    await this.#examine();
    if (this.#cgroups) {
      removeLeftCgroups(this.#cgroups);
      this.#starts = new Starts(
        this.#cgroups.memory,
        wakeups,
        () => this.#containerStarts(),
        (pid) => void this.#healProcess(pid),
      );
    }
    await Promise.all([...this.#members.values()].map((member) => this.#prove(member, true)));
    const published = this.#members.get(publishedId(runDir) ?? '');
    if (published?.phase === 'ready') {
      this.#serve(published);
      // What happened to containers while nobody looked.
      void this.#heal();
    }
    this.#every(this.#options.checkEvery, () => void this.#check());
    this.#step();
  }

  setViews(views: readonly LxcfsView[]): void {
    this.#views = views;
    this.#warnOfMissingViews();
    this.#step();
  }

  /** Ends the supervision. Every lxcfs goes on running. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#starts?.close();
    for (const timer of [...this.#timers, ...this.#looks]) clearTimeout(timer);
    for (const { instance, files } of this.#members.values()) {
      instance.release();
      closeAll(files);
    }
    this.#members.clear();
    await this.#replacer.close();
  }

  /** Ends every lxcfs as well: where the run dir is no more. */
  async end(): Promise<void> {
    this.#isClosed = true;
    for (const { instance } of this.#members.values()) instance.abort();
    await this.close();
  }

  status(): LxcfsStatus {
    const published = publishedId(this.#options.runDir);
    const active = published === undefined ? undefined : this.#members.get(published);
    const ready = this.#isReady();
    return {
      supervisor: {
        version: this.#options.version,
        policy: this.#options.policySource,
        pid: process.pid,
        startedAt: this.#startedAt,
      },
      ready,
      settled: ready && this.#healing === 0 && this.#isComplete(),
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
      ...(this.#program ? { program: { path: this.#program.path, version: this.#program.version } } : {}),
      views: viewsOf(active),
      missingViews: ready ? this.#views.filter((view) => !viewsOf(active).includes(view)) : [],
      instances: [...this.#members.values()].map(({ instance, phase }) => ({
        id: instance.id,
        role: this.#roleOf(instance, phase, published),
        pid: instance.record.pid,
        version: instance.record.version,
        since: instance.record.since,
        path: instance.mountPoint,
      })),
      restarts: this.#restarts,
      attached: this.#reattach.attached,
      unhealed: this.#reattach.unhealed,
      ...(this.#lastGap ? { lastGap: this.#lastGap } : {}),
    };
  }

  #roleOf(instance: Instance, phase: Member['phase'], published: string | undefined) {
    if (phase === 'dead') return 'dead';
    if (phase === 'unproven') return 'starting';
    if (instance.id === published) return 'active';
    return this.#isCurrent(instance) ? 'standby' : 'leaving';
  }

  #isComplete(): boolean {
    const fit = [...this.#members.values()].filter(
      ({ instance, phase }) => phase === 'ready' && this.#isCurrent(instance),
    );
    const published = publishedId(this.#options.runDir);
    return fit.length > 1 && fit.some(({ instance }) => instance.id === published);
  }

  #isReady(): boolean {
    const published = publishedId(this.#options.runDir);
    return published !== undefined && this.#members.get(published)?.phase === 'ready';
  }

  /** What an instance should have been started with, by whom: in a container of its own it ends with the container. */
  get #setup(): string {
    return JSON.stringify({ loadavg: this.#views.includes('loadavg'), namespace: namespaceOf('self') });
  }

  #isCurrent({ record }: Instance): boolean {
    return (
      record.setup === this.#setup &&
      (!this.#program || record.fingerprint === fingerprintNow(this.#program, record.fingerprint))
    );
  }

  /** Does what can be done now; whatever takes time comes back here when it is done. */
  #step(): void {
    while (!this.#isClosed) {
      const step = nextStep({
        members: [...this.#members.values()].map(({ instance, phase, leftAt }) => ({
          id: instance.id,
          phase,
          isCurrent: this.#isCurrent(instance),
          isInGrace: leftAt !== undefined && performance.now() < leftAt + GRACE,
        })),
        published: publishedId(this.#options.runDir),
        isStarting: this.#isStarting,
        isHealing: this.#healing > 0,
        mayStart: this.#program !== undefined && this.#backOff.wait === 0,
      });
      if (!step) return;
      if (step.do === 'publish') this.#publish(this.#members.get(step.id) as Running);
      else if (step.do === 'clear') this.#clear(this.#members.get(step.id) as Running);
      else void this.#startOne();
    }
  }

  #publish(member: Running): void {
    const { runDir, log } = this.#options;
    const before = publishedId(runDir);
    const previous = before === undefined ? undefined : this.#members.get(before);
    const startedAt = this.#lostAt?.at ?? performance.now();
    publish(runDir, member.instance.id);
    if (previous?.phase === 'ready') {
      previous.leftAt = performance.now();
      this.#after(GRACE + 1, () => this.#step());
    }
    this.#serve(member);
    const lost = this.#lostAt;
    this.#lostAt = undefined;
    log.info(
      { instance: member.instance.id, pid: member.instance.record.pid, lxcfs: member.instance.record.version },
      'published',
    );
    this.#warnOfMissingViews();
    void this.#heal().then((healed) => {
      const seconds = (performance.now() - startedAt) / 1000;
      this.metrics.healed(seconds);
      const { files, namespaces: containers } = healed;
      if (lost) this.#lastGap = { at: new Date().toISOString(), seconds, files, containers, cause: lost.cause };
      log.info(
        { files, containers, seconds },
        lost ? 'containers read from the standby, or its successor, now' : 'containers are attached',
      );
    });
  }

  /** It is the one that containers ought to read from. */
  #serve({ instance, files }: Running): void {
    this.#reattach.setLive({ device: instance.device, files });
    this.#problem = undefined;
  }

  async #heal(): Promise<Healed> {
    this.#healing++;
    try {
      const healed = await this.#reattach.heal();
      this.#report(healed);
      return healed;
    } finally {
      this.#healing--;
      this.#step();
    }
  }

  async #healProcess(pid: number): Promise<void> {
    this.#report(await this.#reattach.healProcess(pid));
  }

  #report({ files, unhealed, missing }: Healed): void {
    const { log } = this.#options;
    if (files > 0) this.metrics.reattached(files);
    for (const problem of unhealed) log.error(problem, `lxcfs could not be put in place: ${problem.reason}`);
    for (const file of missing)
      log.warn({ file }, 'containers had this file, and this lxcfs does not serve it: they see the node’s now');
  }

  #clear({ instance, files }: Running): void {
    this.#members.delete(instance.id);
    closeAll(files);
    try {
      instance.clear();
      this.#options.log.info({ instance: instance.id, pid: instance.record.pid }, 'cleared away');
    } catch (error) {
      this.#options.log.error({ instance: instance.id, err: error }, 'could not be cleared away');
    }
  }

  async #startOne(): Promise<void> {
    const { runDir, wakeups, log } = this.#options;
    const program = this.#program as Program;
    this.#isStarting = true;
    try {
      let id = '';
      const options = { loadavg: this.#views.includes('loadavg'), setup: this.#setup };
      const instance = await startInstance(runDir, program, options, wakeups, log, () => this.#lost(id, 'died'));
      id = instance.id;
      const member: Running = { instance, phase: 'unproven', files: new Map() };
      this.#members.set(id, member);
      if (instance.isDead) throw new Error('it ended as soon as it was mounted');
      await this.#prove(member);
      if (member.phase !== 'ready') throw new Error(this.#problem ?? 'it ended while it was tested');
      this.#backOff.succeeded();
      log.info({ instance: id, pid: instance.record.pid, lxcfs: instance.record.version }, 'lxcfs is ready');
    } catch (error) {
      this.#backOff.failed();
      this.#fail(`lxcfs does not work: ${(error as Error).message}`);
    } finally {
      this.#isStarting = false;
      this.#step();
      if (this.#backOff.wait > 0) this.#after(this.#backOff.wait + 1, () => this.#step());
    }
  }

  /** Lets a reader compare, and keeps hold of the files that are served. */
  async #prove(member: Running, isAdopted = false): Promise<void> {
    const { instance } = member;
    if (!this.#cgroups) return;
    const result = await probeInstance(instance.mountPoint, this.#cgroups);
    if (this.#isClosed || member.phase === 'dead') return;
    // One that serves already is not ended because no test could be made.
    const passes = result.outcome === 'ready' || (result.outcome === 'failed' && isAdopted);
    if (passes) {
      try {
        member.files = await this.#openFiles(instance, result.outcome === 'ready' ? result.files : FILES);
        if ((member.phase as Member['phase']) !== 'dead') member.phase = 'ready';
        return;
      } catch {
        // Hung, since it was read from a moment ago.
      }
    }
    const detail = 'detail' in result ? result.detail : 'a reader had to wait for ever';
    this.#fail(`lxcfs ${instance.record.version} is not fit: ${detail}`);
    member.phase = 'dead';
    instance.abort();
  }

  /** A mount of a file is made from a descriptor: nothing has to be looked up when it counts. @throws NamespaceHangs */
  async #openFiles({ mountPoint }: Instance, files: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const descriptors = await this.#replacer.open(files.map((file) => `${mountPoint}${file}`));
    return new Map(files.flatMap((file, i) => (descriptors[i] === undefined ? [] : [[file, descriptors[i]]])));
  }

  /** Tries once more what could not be put in place, from files looked up again: the kernel may have dropped their names. */
  async #healAgain(): Promise<void> {
    const active = this.#members.get(publishedId(this.#options.runDir) ?? '');
    if (active?.phase !== 'ready') return;
    const before = active.files;
    try {
      active.files = await this.#openFiles(active.instance, [...before.keys()]);
    } catch {
      return;
    }
    if (this.#members.get(active.instance.id) !== active) return closeAll(active.files);
    this.#serve(active);
    await this.#heal();
    closeAll(before);
  }

  /** An instance has ended, or is to be taken for dead. */
  #lost(id: string, cause: Gap['cause']): void {
    const member = this.#members.get(id);
    if (this.#isClosed || !member || member.phase === 'dead') return;
    const { instance } = member;
    const wasReady = member.phase === 'ready';
    member.phase = 'dead';
    if (id === publishedId(this.#options.runDir)) {
      this.#lostAt ??= { at: performance.now(), cause };
      this.#problem = `the active lxcfs ${cause === 'died' ? 'ended' : 'hung'} and there is no other yet`;
    }
    // A child of it may hold the connection open, and keep readers waiting.
    instance.abort();
    this.#step();
    this.#restarts++;
    this.metrics.restarted();
    if (wasReady) this.#backOff.died();
    this.#options.log.warn(
      { instance: id, pid: instance.record.pid, cause },
      cause === 'died' ? 'lxcfs has ended' : 'lxcfs hung',
    );
  }

  /**
   * The mount table has changed. An lxcfs that is told to end unmounts itself first, and only then, up to 5 s later where it keeps the
   * load average, ends.
   */
  mountsChanged(mounts: readonly Mount[]): void {
    for (const { instance, phase } of this.#members.values()) {
      if (phase === 'dead' || mountedDevice(this.#options.runDir, instance.id, mounts) === instance.device) continue;
      this.#lost(instance.id, 'died');
    }
  }

  /** Now and then: whether the instances answer, and whether another lxcfs has been installed. */
  async #check(): Promise<void> {
    await this.#examine();
    const ready = [...this.#members.values()].filter(({ phase }) => phase === 'ready');
    const alive = await Promise.all(ready.map(({ instance }) => isAlive(instance.mountPoint)));
    const silent = ready.filter((_, i) => !alive[i]);
    // That all hang at once is rather a node too busy to start the readers in time: then it takes two checks in a row.
    const isDoubtful = ready.length > 1 && silent.length === ready.length && !this.#wasSilent;
    this.#wasSilent = isDoubtful;
    if (!this.#isClosed && !isDoubtful) for (const { instance } of silent) this.#lost(instance.id, 'hung');
    this.#step();
    if (this.#reattach.unhealed.length > 0) void this.#healAgain();
  }

  /** Looks for the program again where there was none, or it has changed. */
  async #examine(): Promise<void> {
    const { log } = this.#options;
    const outdated = [...this.#members.values()].some(({ instance }) => !this.#isCurrent(instance));
    if (this.#program && !outdated && this.#members.size > 0) return;
    try {
      this.#cgroups ??= findCgroups();
      const program = await findProgram(this.#cgroups.version);
      if (program.version !== this.#program?.version)
        log.info({ program: program.path, lxcfs: program.version }, 'found lxcfs');
      this.#program = program;
    } catch (error) {
      // An instance of a program that has been removed since goes on serving.
      this.#program = undefined;
      this.#fail((error as Error).message);
      this.#after(UNFIT_RETRY, () => void this.#examine().then(() => this.#step()));
      if (!(error instanceof Unfit)) log.debug({ err: error }, 'looking for lxcfs failed');
    }
  }

  #fail(problem: string): void {
    if (problem !== this.#problem) this.#options.log.error(problem);
    if (!this.#isReady()) this.#problem = problem;
  }

  #warnOfMissingViews(): void {
    const { missingViews } = this.status();
    if (missingViews.length === 0) return;
    this.#options.log.warn(
      { views: missingViews },
      'this lxcfs does not serve all views of the policy: pods that ask for these wait; remove them from `lxcfs.views`, or install a newer lxcfs',
    );
  }

  #containerStarts(): void {
    for (const timer of this.#looks) clearTimeout(timer);
    this.#looks = LOOKS_AFTER_START.map((delay) => setTimeout(() => void this.#heal(), delay).unref());
  }

  #after(delay: number, job: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#isClosed) job();
    }, delay);
    this.#timers.add(timer);
  }

  #every(interval: number, job: () => void): void {
    this.#after(interval, () => {
      job();
      this.#every(interval, job);
    });
  }
}

const viewsOf = (member: Running | undefined): LxcfsView[] =>
  (Object.keys(LXCFS_VIEWS) as LxcfsView[]).filter((view) => member?.files.has(LXCFS_VIEWS[view]));

function closeAll(files: ReadonlyMap<string, number>): void {
  for (const fd of files.values()) closeSync(fd);
}
