import type { LxcfsView } from '../../contract/wants.ts';
import { MountReplacer } from '../../linux/mount-replacer.ts';
import type { Mount } from '../../linux/mountinfo.ts';
import type { Wakeups } from '../../linux/wakeups.ts';
import type { Logger } from '../../observability/logger.ts';
import { Timers } from '../reconcile/timers.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import type { Sources } from './attach-plan.ts';
import { Attachment } from './attacher.ts';
import { Instances } from './instances.ts';
import { prepareDirectories, publish, publishedId } from './layout.ts';
import { createLxcfsMetrics, type LxcfsMetrics } from './metrics.ts';
import { mountNodeFiles } from './node-files.ts';
import { nextStep } from './plan.ts';
import { closeAll, type Running } from './running.ts';
import type { Gap, LxcfsStatus } from './status.ts';

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
  #isChecking = false;
  /** Whose files containers are being moved to: the published one, unless it could not be published. */
  #serving: Running | undefined;
  /** Publishing that one has failed: the next check tries again. */
  #unpublished: string | undefined;
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
    const { runDir, checkEvery } = this.#options;
    prepareDirectories(runDir);
    await this.#replacer.warmUp();
    if (this.#isClosed) return;
    await this.#instances.adopt();
    if (this.#isClosed) return;
    this.#followStarts();
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
      if (!step || (step.do === 'publish' && step.id === this.#unpublished)) break;
      if (step.do === 'publish') {
        const member = instances.get(step.id) as Running;
        if (instances.stillRuns(member)) this.#publish(member);
      } else if (step.do === 'clear') instances.clear(instances.get(step.id) as Running);
      else void instances.start();
    }
    const active = this.#active;
    if (active && instances.installed.program && this.#isComplete(active)) this.#problem = undefined;
    if (this.#serving?.phase !== 'ready' && !this.#isClosed) {
      this.#stopWaiting ??= this.#timers.after(FALL_BACK_AFTER, () => void this.#fallBack());
    }
  }

  #publish(member: Running): void {
    const { log } = this.#options;
    const previous = this.#active;
    const lost = this.#lostAt;
    const startedAt = lost?.at ?? performance.now();
    this.#lostAt = undefined;
    const isPublished = this.#serve(member);
    if (previous && isPublished) {
      previous.leftAt = performance.now();
      this.#timers.after(GRACE + 1, () => this.#step());
    }
    const { id, record } = member.instance;
    if (isPublished) log.info({ instance: id, pid: record.pid, lxcfs: record.version }, 'published');
    this.#warnOfMissingViews();
    void this.#attachment.heal().then((healed) => {
      if (!healed) return;
      const { files, namespaces: containers, attachedAt = performance.now() } = healed;
      const seconds = (attachedAt - startedAt) / 1000;
      this.metrics.healed(seconds);
      if (lost) this.#lastGap = { at: new Date().toISOString(), seconds, files, containers, cause: lost.cause };
      log.info(
        { files, containers, seconds },
        lost ? 'containers read from the standby, or its successor, now' : 'containers are attached',
      );
    });
  }

  /**
   * It is the one to read from, for containers that start now and, once they are healed, for those that run.
   * @returns whether it is for those that start, too
   */
  #serve(member: Running): boolean {
    const { runDir, log } = this.#options;
    let { missingViews } = member;
    try {
      if (missingViews.length > 0) mountNodeFiles(runDir);
    } catch (error) {
      log.error({ err: error }, 'the node’s own files cannot be mounted in place of views that lxcfs does not serve');
      missingViews = [];
    }
    this.#attachment.serve(member.files);
    this.#serving = member;
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
    const { id } = member.instance;
    try {
      publish(runDir, id, missingViews);
    } catch (error) {
      this.#unpublished = id;
      this.#fail(
        `running containers read from lxcfs, those that start now wait: ${runDir.path}/lxcfs cannot be made to lead to instance ${id} (${(error as Error).message}); next try at the next check`,
      );
      return false;
    }
    this.#unpublished = undefined;
    this.#problem = undefined;
    return true;
  }

  /** From when it is known where the node's cgroups are. */
  #followStarts(): void {
    const { cgroups } = this.#instances.installed;
    if (cgroups && !this.#isClosed) this.#attachment.followStarts(cgroups, this.#options.wakeups);
  }

  /** There is no lxcfs, and none in sight: better the node's values than errors. Whoever starts now waits for it all the same. */
  async #fallBack(): Promise<void> {
    this.#attachment.serve(new Map());
    const healed = await this.#attachment.heal();
    if (healed && healed.files > 0) {
      const { files, namespaces: containers } = healed;
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

  /** One at a time: they may take longer than the time between two. */
  async #check(): Promise<void> {
    if (this.#isChecking) return;
    this.#isChecking = true;
    this.#unpublished = undefined;
    try {
      await this.#instances.check();
      this.#followStarts();
      const needsHealing = this.#attachment.unhealed.length > 0 || this.#attachment.hasFailed;
      if (needsHealing && !this.#isClosed) await this.#healAgain();
    } catch (error) {
      this.#options.log.error({ err: error }, 'a check of lxcfs failed: the next one tries again');
    } finally {
      this.#isChecking = false;
    }
  }

  /** Tries once more what could not be put in place, from files looked up again: the kernel may have dropped their names. */
  async #healAgain(): Promise<void> {
    const serving = this.#serving;
    const before = serving?.files;
    if (serving?.phase !== 'ready' || !before) return void (await this.#attachment.heal());
    let files: Sources;
    try {
      files = await serving.openFiles(this.#replacer, [...before.keys()]);
    } catch {
      return;
    }
    // Else it has ended meanwhile, or another serves.
    const isFresh = files.size >= before.size && serving.files === before && serving === this.#serving;
    if (isFresh) {
      serving.files = files;
      this.#attachment.serve(files);
    }
    await this.#attachment.heal();
    closeAll(isFresh ? before : files);
  }

  /** What keeps an instance from serving, or the standby from being there. */
  #fail(problem: string): void {
    if (problem !== this.#problem) this.#options.log.error(problem);
    this.#problem = problem;
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
