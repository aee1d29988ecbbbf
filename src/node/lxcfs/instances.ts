import type { LxcfsView } from '../../contract/wants.ts';
import type { MountReplacer } from '../../linux/mount-replacer.ts';
import type { Mount } from '../../linux/mountinfo.ts';
import type { Wakeups } from '../../linux/wakeups.ts';
import type { Logger } from '../../observability/logger.ts';
import { Timers } from '../reconcile/timers.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { BackOff } from './back-off.ts';
import { removeLeftCgroups } from './cgroups.ts';
import { Installed, setupFor } from './installed.ts';
import { adoptInstance, startInstance } from './instance.ts';
import { instanceIds, mountedDevice } from './layout.ts';
import { isAlive } from './probe.ts';
import { Running } from './running.ts';
import type { Gap } from './status.ts';

export interface InstancesOptions {
  readonly runDir: RunDir;
  readonly wakeups: Wakeups;
  readonly replacer: MountReplacer;
  readonly log: Logger;
  /** Something has come, or has become possible. */
  readonly onChange: () => void;
  /** One has ended, or was taken for dead and has been ended. */
  readonly onLost: (member: Running, cause: Gap['cause']) => void;
  /** What keeps an instance from serving. */
  readonly onProblem: (problem: string) => void;
}

/** The lxcfs processes of a run dir: adopts, starts, tests, watches and ends them. Which of them is published is not its business. */
export class Instances {
  readonly #options: InstancesOptions;
  readonly #members = new Map<string, Running>();
  readonly #backOff = new BackOff();
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

  get all(): readonly Running[] {
    return [...this.#members.values()];
  }

  get(id: string | undefined): Running | undefined {
    return id === undefined ? undefined : this.#members.get(id);
  }

  get mayStart(): boolean {
    return this.installed.program !== undefined && this.#backOff.wait === 0;
  }

  /** Whether it runs what is installed now, and was started as it would be now. */
  isCurrent({ instance }: Running): boolean {
    return this.installed.isCurrent(instance.record, this.#views);
  }

  /** Whether it still runs. Where it does not, that is told first: of those that end at once one is always told of before the other. */
  stillRuns({ instance }: Running): boolean {
    if (!instance.isRunning) this.#lost(instance.id, 'died');
    return instance.isRunning;
  }

  setViews(views: readonly LxcfsView[]): void {
    this.#views = views;
  }

  /** Takes over what an earlier supervisor left running. */
  async adopt(): Promise<void> {
    const { runDir, wakeups, log } = this.#options;
    for (const id of instanceIds(runDir)) {
      const adopted = adoptInstance(runDir, id, wakeups, log, () => this.#lost(id, 'died'));
      if (!adopted) continue;
      log.info({ instance: id, pid: adopted.record.pid, lxcfs: adopted.record.version }, 'adopted a running lxcfs');
      this.#members.set(id, new Running(adopted));
    }
    await this.#examine();
    if (this.installed.cgroups) removeLeftCgroups(this.installed.cgroups);
    const problems = await Promise.all(this.all.map((member) => this.#prove(member, true)));
    for (const problem of problems) if (problem !== undefined) this.#options.onProblem(problem);
  }

  /** Starts another one. Where it does not get ready it is ended, and the next try has to wait. */
  async start(): Promise<void> {
    const { runDir, wakeups, log, onChange, onProblem } = this.#options;
    const { program } = this.installed;
    if (!program) return;
    this.isStarting = true;
    try {
      let id = '';
      const options = { loadavg: this.#views.includes('loadavg'), setup: setupFor(this.#views) };
      const instance = await startInstance(runDir, program, options, wakeups, log, () => this.#lost(id, 'died'));
      if (this.#isClosed) return instance.release();
      id = instance.id;
      const member = new Running(instance);
      this.#members.set(id, member);
      const problem = await this.#prove(member, false);
      if (member.phase !== 'ready') throw new Error(problem ?? 'it ended while it was tested');
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
  clear(member: Running): void {
    const { instance } = member;
    this.#members.delete(instance.id);
    try {
      instance.clear();
      this.#options.log.info({ instance: instance.id, pid: instance.record.pid }, 'cleared away');
    } catch (error) {
      this.#options.log.error(
        { instance: instance.id, pid: instance.record.pid, path: instance.mountPoint, err: error },
        `lxcfs at ${instance.mountPoint} could not be cleared away: nobody reads from it, but it is left mounted until the next supervisor starts; \`umount -l\` it to have it gone now`,
      );
    } finally {
      // Until its connection is aborted they keep the number of its device from being another's.
      member.closeFiles();
    }
  }

  /** Now and then: whether they answer, and whether another lxcfs has been installed. */
  async check(): Promise<void> {
    await this.#examine();
    const ready = this.all.filter(({ phase }) => phase === 'ready');
    const alive = await Promise.all(ready.map(({ instance }) => isAlive(instance.mountPoint)));
    const silent = ready.filter((_, i) => !alive[i]);
    // That all hang at once is rather a node too busy to start the readers in time: then it takes two checks in a row.
    const isDoubtful = ready.length > 1 && silent.length === ready.length && !this.#wasSilent;
    this.#wasSilent = isDoubtful;
    if (!isDoubtful) for (const { instance } of silent) this.#lost(instance.id, 'hung');
    this.#options.onChange();
  }

  /**
   * The mount table has changed. An lxcfs that is told to end unmounts itself first, and only then, up to 5 s later where it keeps the
   * load average, ends.
   */
  mountsChanged(mounts: readonly Mount[]): void {
    for (const { instance, phase } of this.all) {
      if (phase === 'dead' || mountedDevice(this.#options.runDir, instance.id, mounts) === instance.device) continue;
      this.#lost(instance.id, 'died');
    }
  }

  /** Stops looking after them; they go on running. @param isEnd they end as well */
  close(isEnd = false): void {
    this.#isClosed = true;
    this.#timers.clear();
    for (const member of this.all) {
      if (isEnd) this.#abort(member);
      member.release();
    }
    this.#members.clear();
  }

  #lost(id: string, cause: Gap['cause']): void {
    const member = this.#members.get(id);
    if (this.#isClosed || !member || member.phase === 'dead') return;
    const { instance } = member;
    const wasReady = member.phase === 'ready';
    member.phase = 'dead';
    // A child of it may hold the connection open, and keep readers waiting.
    this.#abort(member);
    this.#options.onLost(member, cause);
    this.#options.onChange();
    if (wasReady) this.#backOff.died();
    this.#options.log.warn(
      { instance: id, pid: instance.record.pid, cause },
      cause === 'died' ? 'lxcfs has ended' : 'lxcfs hung',
    );
  }

  #abort({ instance }: Running): void {
    try {
      instance.abort();
    } catch (error) {
      const { id, device, mountPoint: path } = instance;
      this.#options.log.error(
        { instance: id, path, device, err: error },
        `the FUSE connection of ${path} could not be aborted: whoever reads from it may wait for ever; as root on the node, write 1 to /sys/fs/fuse/connections/${device.split(':')[1]}/abort`,
      );
    }
  }

  /** Lets a reader compare; one that fails is ended. @returns what is wrong with it */
  async #prove(member: Running, isAdopted: boolean): Promise<string | undefined> {
    const problem = await member.prove(this.installed.cgroups, this.#options.replacer, isAdopted);
    if (problem === undefined || this.#isClosed) return undefined;
    member.phase = 'dead';
    this.#abort(member);
    return problem;
  }

  /** Looks for the program again where there was none, or it has changed. */
  async #examine(): Promise<void> {
    const { all } = this;
    if (this.installed.program && all.length > 0 && all.every((member) => this.isCurrent(member))) return;
    const problem = await this.installed.look();
    if (problem !== undefined && !this.#isClosed) this.#options.onProblem(problem);
  }
}
