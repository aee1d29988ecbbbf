import type { LxcfsView } from '../../contract/wants.ts';
import type { MountReplacer } from '../../linux/mount-replacer.ts';
import type { Mount } from '../../linux/mountinfo.ts';
import type { Logger } from '../../observability/logger.ts';
import { Timers } from '../reconcile/timers.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { removeLeftCgroups } from './cgroups.ts';
import { Installed, setupFor } from './installed.ts';
import { Instance } from './instance.ts';
import { instanceIds, mountedDevice } from './layout.ts';
import { isAlive } from './probe.ts';
import { adoptProcess, startProcess } from './process.ts';
import { RestartBackOff } from './restart-back-off.ts';
import type { Gap } from './status.ts';

export interface InstancesOptions {
  readonly runDir: RunDir;
  readonly replacer: MountReplacer;
  readonly log: Logger;
  /** Something has come, or has become possible. */
  readonly onChange: () => void;
  /** One has ended, or was taken for dead and has been ended. */
  readonly onLost: (instance: Instance, cause: Gap['cause']) => void;
  /** What keeps an instance from serving. */
  readonly onProblem: (problem: string) => void;
}

/** The lxcfs processes of a run dir: adopts, starts, tests, watches and ends them. Which of them is published is not its business. */
export class Instances {
  readonly #options: InstancesOptions;
  readonly #instances = new Map<string, Instance>();
  readonly #backOff = new RestartBackOff();
  readonly #timers = new Timers();
  readonly installed: Installed;
  #views: readonly LxcfsView[];
  #isClosed = false;
  /** At the last check none answered. */
  #wasSilent = false;
  isStarting = false;

  constructor(options: InstancesOptions, views: readonly LxcfsView[]) {
    this.#options = options;
    this.#views = views;
    this.installed = new Installed(options.log);
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

  /** Whether it runs what is installed now, and was started as it would be now. */
  isCurrent(instance: Instance): boolean {
    return this.installed.isCurrent(instance.record, this.#views);
  }

  /** Whether it still runs. Where it does not, that is told first: of those that end at once one is always told of before the other. */
  stillRuns(instance: Instance): boolean {
    if (!instance.process.isRunning) this.#lost(instance.id, 'died');
    return instance.process.isRunning;
  }

  setViews(views: readonly LxcfsView[]): void {
    this.#views = views;
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
    const { runDir, log, onChange, onProblem } = this.#options;
    const { program } = this.installed;
    if (!program) return;
    this.isStarting = true;
    try {
      let id = '';
      const options = { loadavg: this.#views.includes('loadavg'), setup: setupFor(this.#views) };
      const process = await startProcess(runDir, program, options, log, () => this.#lost(id, 'died'));
      if (this.#isClosed) return process.release();
      id = process.id;
      const instance = new Instance(process);
      this.#instances.set(id, instance);
      const problem = await this.#prove(instance, false);
      if (instance.phase !== 'ready') throw new Error(problem ?? 'it ended while it was tested');
      this.#backOff.succeeded();
      log.info({ instance: id, pid: instance.record.pid, lxcfs: instance.record.version }, 'lxcfs is ready');
    } catch (error) {
      this.#backOff.failed();
      onProblem(`lxcfs does not work: ${(error as Error).message}`);
    } finally {
      this.isStarting = false;
      onChange();
      if (this.#backOff.wait > 0) this.#timers.after(this.#backOff.wait + 1, onChange);
    }
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
    this.#options.onChange();
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
    const problem = await instance.prove(this.installed.cgroups, this.#options.replacer, isAdopted);
    if (problem === undefined || this.#isClosed) return undefined;
    instance.phase = 'dead';
    this.#abort(instance);
    return problem;
  }

  /** Looks for the program again where there was none, or it has changed. */
  async #refreshProgram(): Promise<void> {
    const { all } = this;
    if (this.installed.program && all.length > 0 && all.every((instance) => this.isCurrent(instance))) return;
    const problem = await this.installed.refresh();
    if (problem !== undefined && !this.#isClosed) this.#options.onProblem(problem);
  }
}
