import { setTimeout as sleep } from 'node:timers/promises';
import type { MountReplacer } from '../../linux/mount-replacer.ts';
import type { Mount } from '../../linux/mountinfo.ts';
import type { Logger } from '../../observability/logger.ts';
import type { LxcfsPolicy } from '../../policy/policy.ts';
import { Timers } from '../reconcile/timers.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { findAilment } from './ailment.ts';
import { readCgroupOptions, restoreCgroupOptions } from './cgroup-options.ts';
import { removeLeftCgroups } from './cgroups.ts';
import { Examinations } from './examination.ts';
import { Installed, setupFor } from './installed.ts';
import { Instance } from './instance.ts';
import { instanceIds, mountedDevice } from './layout.ts';
import { makeNamespaces, type Namespaces } from './namespaces.ts';
import { isAlive } from './probe.ts';
import { adoptProcess } from './process.ts';
import { type Program, placeOf, Unfit } from './program.ts';
import { RestartBackOff } from './restart-back-off.ts';
import { startProcess } from './start-process.ts';
import type { Gap } from './status.ts';

export interface InstancesOptions {
  readonly runDir: RunDir;
  readonly replacer: MountReplacer;
  readonly log: Logger;
  /** Something has come, or has become possible. */
  readonly onChange: () => void;
  /** One has ended, or was taken for dead and has been ended. */
  readonly onLost: (instance: Instance, cause: Gap['cause']) => void;
  /** One keeps some readers waiting for ever: it is replaced, and cleared away when all read from another. */
  readonly onStuck: (instance: Instance) => void;
  /** What keeps an instance from serving. */
  readonly onProblem: (problem: string) => void;
}

/** ms until what a process printed last is here. */
const LAST_WORDS = 20;

/** The lxcfs processes of a run dir: adopts, starts, tests, watches and ends them. Which of them is published is not its business. */
export class Instances {
  readonly #options: InstancesOptions;
  readonly #instances = new Map<string, Instance>();
  readonly #backOff = new RestartBackOff();
  readonly #timers = new Timers();
  readonly installed: Installed;
  #policy: LxcfsPolicy;
  #namespaces: (Namespaces & { readonly place: string }) | undefined;
  readonly #examinations: Examinations;
  #isClosed = false;
  /** At the last check none answered. */
  #wasSilent = false;
  isStarting = false;

  constructor(options: InstancesOptions, policy: LxcfsPolicy) {
    this.#options = options;
    this.#policy = policy;
    this.installed = new Installed(options.log);
    this.#examinations = new Examinations(options.log);
  }

  get all(): readonly Instance[] {
    return [...this.#instances.values()];
  }

  get(id: string | undefined): Instance | undefined {
    return id === undefined ? undefined : this.#instances.get(id);
  }

  get mayStart(): boolean {
    return this.installed.program !== undefined && this.#backOff.wait === 0;
  }

  /** Whether it runs what is installed now, was started as it would be now, and nothing ails it. */
  isCurrent(instance: Instance): boolean {
    return instance.ailment === undefined && this.installed.isCurrent(instance.record, this.#policy);
  }

  /** Whether it still runs. Where it does not, that is told first: of those that end at once one is always told of before the other. */
  stillRuns(instance: Instance): boolean {
    if (!instance.process.isRunning) this.#lost(instance.id, 'died');
    return instance.process.isRunning;
  }

  setPolicy(policy: LxcfsPolicy): void {
    this.#policy = policy;
  }

  /** Takes over what an earlier supervisor left running. */
  async adopt(): Promise<void> {
    const { runDir, log } = this.#options;
    for (const id of instanceIds(runDir)) {
      const adopted = adoptProcess(runDir, id, log, () => this.#lost(id, 'died'));
      if (!adopted) continue;
      log.info({ instance: id, pid: adopted.record.pid, lxcfs: adopted.record.version }, 'adopted a running lxcfs');
      this.#instances.set(id, new Instance(adopted));
    }
    await this.#refreshProgram();
    if (this.installed.cgroups) removeLeftCgroups(this.installed.cgroups);
    const problems = await Promise.all(this.all.map((instance) => this.#prove(instance, true)));
    for (const problem of problems) if (problem !== undefined) this.#options.onProblem(problem);
  }

  /** Starts another one. Where it does not get ready it is ended, and the next try has to wait. */
  async start(): Promise<void> {
    const { runDir, log, onChange } = this.#options;
    const { program } = this.installed;
    if (!program) return;
    this.isStarting = true;
    try {
      let id = '';
      const cgroupOptions = readCgroupOptions();
      const namespaces = await this.#namespacesFor(program);
      if (this.#isClosed) return this.#closeNamespaces();
      const options = { loadavg: this.#policy.views.includes('loadavg'), setup: setupFor(this.#policy) };
      const onDeath = (): void => this.#lost(id, 'died');
      const process = await startProcess(runDir, program, namespaces, options, log, onDeath).finally(() =>
        restoreCgroupOptions(cgroupOptions, log),
      );
      if (this.#isClosed) return process.release();
      id = process.id;
      const instance = new Instance(process);
      this.#instances.set(id, instance);
      const problem = await this.#prove(instance, false);
      if (instance.phase !== 'ready') {
        await sleep(LAST_WORDS);
        const what = `${problem ?? 'it ended while it was tested'}${process.said}`;
        throw instance.isUnfit ? new Unfit(what) : new Error(what);
      }
      this.#backOff.succeeded();
      log.info({ instance: id, pid: instance.record.pid, lxcfs: instance.record.version }, 'lxcfs is ready');
    } catch (error) {
      this.#failed(program, error as Error);
    } finally {
      this.isStarting = false;
      onChange();
      if (this.#backOff.wait > 0) this.#timers.after(this.#backOff.wait + 1, onChange);
    }
  }

  /** Goes on with another lxcfs at once, or later with the same one. */
  #failed(program: Program, error: Error): void {
    const { installed } = this;
    if (installed.failed(program, error instanceof Unfit) && installed.program) {
      const next = placeOf(installed.program);
      this.#options.log.info({ program: placeOf(program), next }, `trying another lxcfs: ${error.message}`);
    } else {
      this.#backOff.failed();
      this.#options.onProblem(`lxcfs does not work: ${error.message}`);
    }
  }

  async #namespacesFor(program: Program): Promise<Namespaces> {
    const place = placeOf(program);
    if (this.#namespaces?.place !== place) {
      this.#closeNamespaces();
      this.#namespaces = { ...(await makeNamespaces(this.#options.runDir, program, this.#options.log)), place };
    }
    return this.#namespaces;
  }

  #closeNamespaces(): void {
    this.#namespaces?.close();
    this.#namespaces = undefined;
  }

  /** Ends one, and clears away what it leaves on the node. */
  clear(instance: Instance): void {
    this.#instances.delete(instance.id);
    try {
      instance.process.clear();
      this.#options.log.info({ instance: instance.id, pid: instance.record.pid }, 'cleared away');
    } catch (error) {
      this.#options.log.error(
        { instance: instance.id, pid: instance.record.pid, path: instance.mountPoint, err: error },
        `lxcfs at ${instance.mountPoint} could not be cleared away: nobody reads from it, but it is left mounted until the next supervisor starts; \`umount -l\` it to have it gone now`,
      );
    } finally {
      // Until its connection is aborted they keep the number of its device from being another's.
      instance.closeFiles();
    }
  }

  /** Now and then: whether they answer, and whether another lxcfs has been installed. */
  async check(): Promise<void> {
    await this.#refreshProgram();
    const ready = this.all.filter(({ phase }) => phase === 'ready');
    const alive = await Promise.all(ready.map(({ mountPoint }) => isAlive(mountPoint)));
    const silent = ready.filter((_, i) => !alive[i]);
    // That all hang at once is rather a node too busy to start the readers in time: then it takes two checks in a row.
    const isDoubtful = ready.length > 1 && silent.length === ready.length && !this.#wasSilent;
    this.#wasSilent = isDoubtful;
    if (!isDoubtful) for (const { id } of silent) this.#lost(id, 'hung');
    for (const instance of ready) this.#checkHealth(instance);
    // Which may have failed before.
    for (const instance of ready) if (instance.isProven) void this.#examine(instance);
    this.#options.onChange();
  }

  /** One that ails is replaced without a gap. */
  #checkHealth(instance: Instance): void {
    if (instance.ailment || instance.phase !== 'ready') return;
    instance.ailment = findAilment(instance.process, this.#options.log);
    if (instance.ailment === 'stuck') this.#options.onStuck(instance);
  }

  /**
   * The mount table has changed. An lxcfs that is told to end unmounts itself first, and only then, up to 5 s later where it keeps the
   * load average, ends.
   */
  mountsChanged(mounts: readonly Mount[]): void {
    for (const { id, device, phase } of this.all) {
      if (phase === 'dead' || mountedDevice(this.#options.runDir, id, mounts) === device) continue;
      this.#lost(id, 'died');
    }
  }

  /** Stops looking after them; they go on running. @param isEnd they end as well */
  close(isEnd = false): void {
    this.#isClosed = true;
    this.#timers.clear();
    for (const instance of this.all) {
      if (isEnd) this.#abort(instance);
      instance.release();
    }
    this.#instances.clear();
    this.#closeNamespaces();
  }

  #lost(id: string, cause: Gap['cause']): void {
    const instance = this.#instances.get(id);
    if (this.#isClosed || !instance || instance.phase === 'dead') return;
    const wasReady = instance.phase === 'ready';
    instance.phase = 'dead';
    // A child of it may hold the connection open, and keep readers waiting.
    this.#abort(instance);
    this.#options.onLost(instance, cause);
    this.#options.onChange();
    if (wasReady) this.#backOff.died();
    this.#options.log.warn(
      { instance: id, pid: instance.record.pid, cause },
      cause === 'died' ? 'lxcfs has ended' : 'lxcfs hung',
    );
  }

  #abort(instance: Instance): void {
    try {
      instance.process.abort();
    } catch (error) {
      const { id, device, mountPoint: path } = instance;
      this.#options.log.error(
        { instance: id, path, device, err: error },
        `the FUSE connection of ${path} could not be aborted: whoever reads from it may wait for ever; as root on the node, write 1 to /sys/fs/fuse/connections/${device.split(':')[1]}/abort`,
      );
    }
  }

  /** Lets a reader compare; one that fails is ended. @returns what is wrong with it */
  async #prove(instance: Instance, isAdopted: boolean): Promise<string | undefined> {
    const withholds = this.#policy.onUntrue === 'node';
    const problem = await instance.prove(this.installed.cgroups, this.#options.replacer, { isAdopted, withholds });
    if (instance.phase === 'ready' && instance.isProven) {
      this.installed.works(instance.record, instance.flaws);
      void this.#examine(instance);
    }
    if (problem === undefined || this.#isClosed) return undefined;
    instance.phase = 'dead';
    this.#abort(instance);
    return problem;
  }

  /** Finds out the rest, while the instance serves. */
  async #examine(instance: Instance): Promise<void> {
    const all = await this.#examinations.of(instance, this.installed.cgroups);
    const found = all.filter(({ view }) => !instance.untrue.some((known) => known.view === view));
    if (this.#isClosed || found.length === 0) return;
    instance.untrue = [...instance.untrue, ...found];
    this.installed.works(instance.record, instance.flaws);
    this.#options.onChange();
  }

  /** Looks for the program again where there was none, or it has changed. */
  async #refreshProgram(): Promise<void> {
    const { all, installed } = this;
    const isCurrent = all.length > 0 && all.every((instance) => this.isCurrent(instance));
    if (installed.program && isCurrent && !installed.hasChanged) return;
    const problem = await installed.refresh();
    if (problem !== undefined && !this.#isClosed) this.#options.onProblem(problem);
  }
}
