import { MountReplacer } from '../../linux/mount-replacer.ts';
import type { Mount } from '../../linux/mountinfo.ts';
import { patient } from '../../linux/slowness.ts';
import type { Logger } from '../../observability/logger.ts';
import type { LxcfsPolicy } from '../../policy/policy.ts';
import { Timers } from '../reconcile/timers.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { AttachController } from './attach-controller.ts';
import { GapMeter } from './gap.ts';
import type { Instance } from './instance.ts';
import { Instances } from './instances.ts';
import { prepareDirectories, publish, publishedId } from './layout.ts';
import { createLxcfsMetrics, type LxcfsMetrics } from './metrics.ts';
import { mountNodeFiles } from './node-files.ts';
import { plan, type Step } from './plan.ts';
import { placeOf } from './program.ts';
import { describeInstances, isSettled } from './roles.ts';
import type { Gap, LxcfsStatus } from './status.ts';
import { warnOfViews } from './view-warnings.ts';

export interface SupervisorOptions {
  readonly runDir: RunDir;
  readonly policy: LxcfsPolicy;
  readonly version: string;
  readonly log: Logger;
  /** ms between two checks whether the instances still answer, and whether another lxcfs has been installed. */
  readonly checkEvery: number;
  readonly policySource: string;
}

/** ms for which an instance that is replaced goes on answering those who have its files open. */
const GRACE = patient(3000);
/** ms without an lxcfs until containers get the node's files. The next one is mostly ready sooner, and then they are moved only once. */
const FALL_BACK_AFTER = patient(500);

/** Keeps an active lxcfs and a warm standby, and the containers of the node attached to the active one. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #startedAt = new Date().toISOString();
  readonly #replacer = new MountReplacer();
  readonly #instances: Instances;
  readonly #attachments: AttachController;
  readonly #timers = new Timers();
  readonly #gaps = new GapMeter();
  readonly metrics: LxcfsMetrics;
  #policy: LxcfsPolicy;
  #isClosed = false;
  #isChecking = false;
  /** The instance that could not be published: the next check tries again. */
  #unpublished: string | undefined;
  #problem: string | undefined = 'starting';
  #restarts = 0;
  /** Ends the wait for an lxcfs, after which containers get the node's files. */
  #stopWaiting: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    const { runDir, policy, log } = options;
    this.#options = options;
    this.#policy = policy;
    const replacer = this.#replacer;
    const metrics = createLxcfsMetrics(() => this.status());
    this.metrics = metrics;
    this.#attachments = new AttachController({ runDir, replacer, log, metrics, onResynced: () => this.#reconcile() });
    this.#instances = new Instances(
      {
        runDir,
        replacer,
        log,
        onChange: () => this.#reconcile(),
        onLost: (instance, cause) => this.#lost(instance, cause),
        onStuck: (instance) => this.#stuck(instance),
        onProblem: (problem) => this.#fail(problem),
      },
      policy,
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
    this.#watchStarts();
    const active = this.#active;
    if (active) {
      this.#makeActive(active);
      // What happened to containers while no supervisor ran.
      void this.#attachments.resync();
    }
    this.#timers.every(checkEvery, () => void this.#check());
    this.#reconcile();
  }

  setPolicy(policy: LxcfsPolicy): void {
    this.#policy = policy;
    this.#instances.setPolicy(policy);
    warnOfViews(this.status(), this.#policy, this.#options.log);
    this.#reconcile();
  }

  mountsChanged(mounts: readonly Mount[]): void {
    this.#instances.mountsChanged(mounts);
  }

  /** Ends the supervision. Every lxcfs goes on running. @param isEnd they end as well, since the run dir is gone */
  async close(isEnd = false): Promise<void> {
    this.#isClosed = true;
    this.#timers.clear();
    this.#attachments.close();
    this.#instances.close(isEnd);
    await this.#replacer.close();
  }

  status(): LxcfsStatus {
    const { version, policySource } = this.#options;
    const active = this.#active;
    const { program } = this.#instances.installed;
    const problem = this.#problem ?? this.#attachments.problem;
    return {
      supervisor: { version, policy: policySource, pid: process.pid, startedAt: this.#startedAt },
      ready: active !== undefined,
      settled: !this.#attachments.isAttaching && isSettled(this.#instances, active),
      ...(problem === undefined ? {} : { problem }),
      ...(program ? { program: { path: placeOf(program), version: program.version } } : {}),
      views: active?.views ?? [],
      missingViews: this.#policy.views.filter((view) => active?.missingViews.includes(view)),
      untrueViews: active?.untrue ?? [],
      instances: describeInstances(this.#instances, active),
      restarts: this.#restarts,
      attached: this.#attachments.attached,
      unhealed: this.#attachments.failures,
      ...(this.#gaps.last ? { lastGap: this.#gaps.last } : {}),
    };
  }

  /** The published one, if it serves. */
  get #active(): Instance | undefined {
    const published = this.#instances.get(publishedId(this.#options.runDir));
    return published?.phase === 'ready' ? published : undefined;
  }

  /** Does what can be done now; whatever takes time comes back here when it is done. */
  #reconcile(): void {
    while (!this.#isClosed) {
      const step = this.#plan();
      if (!step || (step.do === 'publish' && step.id === this.#unpublished)) break;
      this.#perform(step);
    }
    if (this.#instances.installed.program && isSettled(this.#instances, this.#active)) this.#problem = undefined;
    if (this.#attachments.source?.phase !== 'ready' && !this.#isClosed) {
      this.#stopWaiting ??= this.#timers.after(FALL_BACK_AFTER, () => void this.#fallBack());
    }
  }

  #plan(): Step | undefined {
    const instances = this.#instances;
    return plan({
      instances: instances.all.map((instance) => ({
        id: instance.id,
        phase: instance.phase,
        isCurrent: instances.isCurrent(instance),
        isStuck: instance.ailment === 'stuck',
        isInGrace: instance.leftAt !== undefined && performance.now() < instance.leftAt + GRACE,
      })),
      published: publishedId(this.#options.runDir),
      isStarting: instances.isStarting,
      isAttaching: this.#attachments.isAttaching,
      mayStart: instances.mayStart,
    });
  }

  #perform(step: Step): void {
    const instances = this.#instances;
    if (step.do === 'start') return void instances.start();
    const instance = instances.get(step.id) as Instance;
    if (step.do === 'clear') instances.clear(instance);
    else if (instances.stillRuns(instance)) this.#publish(instance);
  }

  #publish(instance: Instance): void {
    const { log } = this.#options;
    const previous = this.#active;
    const gap = this.#gaps.publish();
    const isPublished = this.#makeActive(instance);
    if (previous && isPublished) {
      previous.leftAt = performance.now();
      this.#timers.after(GRACE + 1, () => this.#reconcile());
    }
    const { id, record } = instance;
    if (isPublished) log.info({ instance: id, pid: record.pid, lxcfs: record.version }, 'published');
    warnOfViews(this.status(), this.#policy, this.#options.log);
    void this.#attachments.resync().then((result) => {
      if (!result) return;
      const { files, namespaces: containers } = result;
      const seconds = gap.end(result);
      this.metrics.attachedAfter(seconds);
      log.info(
        { files, containers, seconds },
        gap.isAfterLoss ? 'containers read from the standby, or its successor, now' : 'containers are attached',
      );
    });
  }

  /**
   * Makes it the one to read from: for containers that start now, and with the next resync for those that run.
   * @returns whether it is so for those that start
   */
  #makeActive(instance: Instance): boolean {
    const { runDir, log } = this.#options;
    let { missingViews } = instance;
    try {
      if (missingViews.length > 0) mountNodeFiles(runDir);
    } catch (error) {
      log.error({ err: error }, 'the node’s own files cannot be mounted in place of views that lxcfs does not serve');
      missingViews = [];
    }
    this.#attachments.setSource(instance);
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
    const { id } = instance;
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
  #watchStarts(): void {
    const { cgroups } = this.#instances.installed;
    if (cgroups && !this.#isClosed) this.#attachments.watchStarts(cgroups);
  }

  /** There is no lxcfs, and none in sight: the node's values are better than errors. Whoever starts now waits for it all the same. */
  async #fallBack(): Promise<void> {
    this.#attachments.setSource(undefined);
    const result = await this.#attachments.resync();
    if (result && result.files > 0) {
      const { files, namespaces: containers } = result;
      this.#options.log.warn({ files, containers }, 'containers read the node’s values, until there is an lxcfs again');
    }
  }

  #lost(instance: Instance, cause: Gap['cause']): void {
    const active = this.#active;
    this.#attachments.markDead(instance.device);
    // One that was to go soon, with the pod that started it or for its successor, is no loss.
    if (!active || !this.#instances.isCurrent(active) || this.#instances.isCurrent(instance)) this.#countRestart();
    if (instance.id !== publishedId(this.#options.runDir)) return;
    this.#gaps.begin(cause);
    this.#problem = `the active lxcfs ${cause === 'died' ? 'ended' : 'hung'} and there is no other yet`;
  }

  /** It counts as lost, though most containers never miss it. */
  #stuck(instance: Instance): void {
    this.#countRestart();
    if (instance.id === publishedId(this.#options.runDir)) this.#gaps.begin('hung');
  }

  #countRestart(): void {
    this.#restarts++;
    this.metrics.restarted();
  }

  /** One at a time: a check may take longer than the time between two. */
  async #check(): Promise<void> {
    if (this.#isChecking) return;
    this.#isChecking = true;
    this.#unpublished = undefined;
    try {
      await this.#instances.check();
      this.#watchStarts();
      if (!this.#isClosed) await this.#attachments.retryFailures();
    } catch (error) {
      if (!this.#isClosed) this.#options.log.error({ err: error }, 'a check of lxcfs failed: the next one tries again');
    } finally {
      this.#isChecking = false;
    }
  }

  /** What keeps an instance from serving, or the standby from being there. */
  #fail(problem: string): void {
    if (problem !== this.#problem) this.#options.log.error(problem);
    this.#problem = problem;
  }
}
