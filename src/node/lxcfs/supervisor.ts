import type { LxcfsView } from '../../contract/wants.ts';
import { MountReplacer } from '../../linux/mount-replacer.ts';
import type { Mount } from '../../linux/mountinfo.ts';
import type { Wakeups } from '../../linux/wakeups.ts';
import type { Logger } from '../../observability/logger.ts';
import type { RunDir } from '../run-dir.ts';
import { Timers } from '../timers.ts';
import { Attachment } from './attachment.ts';
import { prepareDirectories, publish, publishedId } from './directories.ts';
import { Instances } from './instances.ts';
import { createLxcfsMetrics, type LxcfsMetrics } from './metrics.ts';
import { mountNodeFiles } from './node-files.ts';
import { closeAll, type Running } from './running.ts';
import type { Gap, LxcfsStatus } from './status.ts';
import { nextStep } from './supervision.ts';

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

/** ms for which an instance that is replaced goes on answering those who have its files open. */
const GRACE = 3000;
/** ms without an lxcfs until containers get the node's files. The next one is mostly ready sooner, and then they are moved only once. */
const FALL_BACK_AFTER = 500;

/** Keeps an active lxcfs and a warm standby, and the containers of the node on the active one. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #startedAt = new Date().toISOString();
  readonly #replacer = new MountReplacer();
  readonly #instances: Instances;
  readonly #attachment: Attachment;
  readonly #timers = new Timers();
  readonly metrics: LxcfsMetrics;
  #views: readonly LxcfsView[];
  #isClosed = false;
  #problem: string | undefined = 'starting';
  #lostAt: { at: number; cause: Gap['cause'] } | undefined;
  #lastGap: Gap | undefined;
  #restarts = 0;
  /** Ends the wait for an lxcfs, after which containers get the node's files. */
  #stopWaiting: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    const { runDir, views, wakeups, log } = options;
    this.#options = options;
    this.#views = views;
    const replacer = this.#replacer;
    const metrics = createLxcfsMetrics(() => this.status());
    this.metrics = metrics;
    this.#attachment = new Attachment({ runDir, replacer, log, metrics, onHealed: () => this.#step() });
    this.#instances = new Instances(
      {
        runDir,
        wakeups,
        replacer,
        log,
        onChange: () => this.#step(),
        onLost: (member, cause) => this.#lost(member, cause),
        onProblem: (problem) => this.#fail(problem),
      },
      views,
    );
  }

  /** Takes over what an earlier supervisor left running, and goes on from there. */
  async start(): Promise<void> {
    const { runDir, wakeups, checkEvery } = this.#options;
    prepareDirectories(runDir);
    await this.#replacer.warmUp();
    await this.#instances.adopt();
    const { cgroups } = this.#instances.installed;
    if (cgroups) this.#attachment.followStarts(cgroups, wakeups);
    const active = this.#active;
    if (active) {
      this.#serve(active);
      // What happened to containers while nobody looked.
      void this.#attachment.heal();
    }
    this.#timers.every(checkEvery, () => void this.#check());
    this.#step();
  }

  setViews(views: readonly LxcfsView[]): void {
    this.#views = views;
    this.#instances.setViews(views);
    this.#warnOfMissingViews();
    this.#step();
  }

  mountsChanged(mounts: readonly Mount[]): void {
    this.#instances.mountsChanged(mounts);
  }

  /** Ends the supervision. Every lxcfs goes on running. @param isEnd they end as well, since the run dir is no more */
  async close(isEnd = false): Promise<void> {
    this.#isClosed = true;
    this.#timers.clear();
    this.#attachment.close();
    this.#instances.close(isEnd);
    await this.#replacer.close();
  }

  status(): LxcfsStatus {
    const { version, policySource } = this.#options;
    const active = this.#active;
    const { program } = this.#instances.installed;
    return {
      supervisor: { version, policy: policySource, pid: process.pid, startedAt: this.#startedAt },
      ready: active !== undefined,
      settled: active !== undefined && !this.#attachment.isHealing && this.#isComplete(active),
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
      ...(program ? { program: { path: program.path, version: program.version } } : {}),
      views: active?.views ?? [],
      missingViews: this.#views.filter((view) => active?.missingViews.includes(view)),
      instances: this.#instances.all.map((member) => ({
        id: member.instance.id,
        role: this.#roleOf(member),
        pid: member.instance.record.pid,
        version: member.instance.record.version,
        since: member.instance.record.since,
        path: member.instance.mountPoint,
      })),
      restarts: this.#restarts,
      attached: this.#attachment.attached,
      unhealed: this.#attachment.unhealed,
      ...(this.#lastGap ? { lastGap: this.#lastGap } : {}),
    };
  }

  /** The published one, if it serves. */
  get #active(): Running | undefined {
    const published = this.#instances.get(publishedId(this.#options.runDir));
    return published?.phase === 'ready' ? published : undefined;
  }

  #roleOf(member: Running): LxcfsStatus['instances'][number]['role'] {
    if (member.phase === 'dead') return 'dead';
    if (member.phase === 'unproven') return 'starting';
    if (member === this.#active) return 'active';
    return this.#instances.isCurrent(member) ? 'standby' : 'leaving';
  }

  #isComplete(active: Running): boolean {
    const fit = this.#instances.all.filter((member) => member.phase === 'ready' && this.#instances.isCurrent(member));
    return fit.length > 1 && fit.includes(active);
  }

  /** Does what can be done now; whatever takes time comes back here when it is done. */
  #step(): void {
    const instances = this.#instances;
    while (!this.#isClosed) {
      const step = nextStep({
        members: instances.all.map((member) => ({
          id: member.instance.id,
          phase: member.phase,
          isCurrent: instances.isCurrent(member),
          isInGrace: member.leftAt !== undefined && performance.now() < member.leftAt + GRACE,
        })),
        published: publishedId(this.#options.runDir),
        isStarting: instances.isStarting,
        isHealing: this.#attachment.isHealing,
        mayStart: instances.mayStart,
      });
      if (!step) break;
      if (step.do === 'publish') this.#publish(instances.get(step.id) as Running);
      else if (step.do === 'clear') instances.clear(instances.get(step.id) as Running);
      else void instances.start();
    }
    if (!this.#active && !this.#isClosed) {
      this.#stopWaiting ??= this.#timers.after(FALL_BACK_AFTER, () => void this.#fallBack());
    }
  }

  #publish(member: Running): void {
    const { log } = this.#options;
    const previous = this.#active;
    const lost = this.#lostAt;
    const startedAt = lost?.at ?? performance.now();
    this.#lostAt = undefined;
    this.#serve(member);
    if (previous) {
      previous.leftAt = performance.now();
      this.#timers.after(GRACE + 1, () => this.#step());
    }
    const { id, record } = member.instance;
    log.info({ instance: id, pid: record.pid, lxcfs: record.version }, 'published');
    this.#warnOfMissingViews();
    void this.#attachment.heal().then(({ files, namespaces: containers }) => {
      const seconds = (performance.now() - startedAt) / 1000;
      this.metrics.healed(seconds);
      if (lost) this.#lastGap = { at: new Date().toISOString(), seconds, files, containers, cause: lost.cause };
      log.info(
        { files, containers, seconds },
        lost ? 'containers read from the standby, or its successor, now' : 'containers are attached',
      );
    });
  }

  /** It is the one to read from, for containers that start now and, once they are healed, for those that run. */
  #serve(member: Running): void {
    const { runDir, log } = this.#options;
    let { missingViews } = member;
    try {
      if (missingViews.length > 0) mountNodeFiles(runDir);
    } catch (error) {
      log.error({ err: error }, 'the node’s own files cannot be mounted in place of views that lxcfs does not serve');
      missingViews = [];
    }
    publish(runDir, member.instance.id, missingViews);
    this.#attachment.serve(member.files);
    this.#problem = undefined;
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
  }

  /** There is no lxcfs, and none in sight: better the node's values than errors. Whoever starts now waits for it all the same. */
  async #fallBack(): Promise<void> {
    this.#attachment.serve(new Map());
    const { files, namespaces: containers } = await this.#attachment.heal();
    if (files > 0) {
      this.#options.log.warn({ files, containers }, 'containers read the node’s values, until there is an lxcfs again');
    }
  }

  #lost(member: Running, cause: Gap['cause']): void {
    const active = this.#active;
    this.#attachment.hasDied(member.instance.device);
    // One that was to go soon, with the pod that started it or for its successor, is no loss.
    if (!active || !this.#instances.isCurrent(active) || this.#instances.isCurrent(member)) {
      this.#restarts++;
      this.metrics.restarted();
    }
    if (member.instance.id !== publishedId(this.#options.runDir)) return;
    this.#lostAt ??= { at: performance.now(), cause };
    this.#problem = `the active lxcfs ${cause === 'died' ? 'ended' : 'hung'} and there is no other yet`;
  }

  async #check(): Promise<void> {
    await this.#instances.check();
    if (this.#attachment.unhealed.length > 0 && !this.#isClosed) await this.#healAgain();
  }

  /** Tries once more what could not be put in place, from files looked up again: the kernel may have dropped their names. */
  async #healAgain(): Promise<void> {
    const active = this.#active;
    const before = active?.files ?? new Map();
    try {
      await active?.openFiles(this.#replacer, [...before.keys()]);
    } catch {
      return;
    }
    if (active && active !== this.#active) return closeAll(active.files);
    if (active) this.#attachment.serve(active.files);
    await this.#attachment.heal();
    if (active) closeAll(before);
  }

  #fail(problem: string): void {
    if (problem !== this.#problem) this.#options.log.error(problem);
    if (!this.#active) this.#problem = problem;
  }

  #warnOfMissingViews(): void {
    const { missingViews } = this.status();
    if (missingViews.length === 0) return;
    this.#options.log.warn(
      { views: missingViews },
      'this lxcfs does not serve all views of the policy: pods that ask for these read the node’s values; remove them from `lxcfs.views`, or install a newer lxcfs',
    );
  }
}
