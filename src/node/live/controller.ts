import type { Logger } from '../../observability/logger.ts';
import type { Account, Policy } from '../../policy/index.ts';
import { HeldReports } from '../containers/held-reports.ts';
import { KeyedQueue } from '../reconcile/keyed-queue.ts';
import { Retry } from '../reconcile/retry.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { readBinds } from './actual.ts';
import { readAnnotations } from './annotations-file.ts';
import { AnnotationsWatch } from './annotations-watch.ts';
import { apply, type TakenReport } from './apply.ts';
import { removePlace, unbindClass } from './bind.ts';
import { desire } from './desired.ts';
import {
  type LiveRecord,
  livePods,
  makeLiveDirectory,
  placesIn,
  readLiveRecord,
  removeLiveDirectory,
  writeLiveStatus,
} from './directory.ts';
import { plan } from './plan.ts';
import { contentsOf, type LiveState } from './state.ts';

export interface LiveControllerOptions {
  readonly runDir: RunDir;
  /** Undefined: there is no kubelet, and so no live pod. */
  readonly kubeletDir: string | undefined;
  /** In force now. */
  readonly policy: () => Policy;
  /** Whether the pod's directory is published to it; undefined where nobody knows. @throws Error of the system */
  readonly isPublished: (podUid: string) => boolean | undefined;
  readonly log: Logger;
  /** A pod has got or lost a class. */
  readonly onChange: () => void;
}

/** ms after which what failed is tried again. */
const RETRY = { first: 1000, last: 60_000 };

/** Keeps the directories of live pods what the pods' annotations and the policy say. */
export class LiveController {
  readonly #options: LiveControllerOptions;
  readonly #jobs = new KeyedQueue<string>((podUid) => this.#run(podUid));
  readonly #watch: AnnotationsWatch | undefined;
  readonly #states = new Map<string, LiveState>();
  readonly #failing = new Set<string>();
  readonly #retry = new Retry(() => this.resync(), RETRY);
  readonly #taken: HeldReports<TakenReport>;
  #isClosed = false;

  constructor(options: LiveControllerOptions) {
    const { kubeletDir, log } = options;
    this.#options = options;
    this.#watch = kubeletDir === undefined ? undefined : new AnnotationsWatch(kubeletDir, this.#ask, log);
    this.#taken = new HeldReports(({ podUid, class: name }) =>
      log.info(
        { podUid, class: name },
        'nobody in the pod has anything open any more of the class that was taken away',
      ),
    );
  }

  /** By the pod's UID. */
  get states(): ReadonlyMap<string, LiveState> {
    return this.#states;
  }

  /** The last one first. */
  get taken(): readonly TakenReport[] {
    return this.#taken.all;
  }

  /** Why annotations are seen later than they change. */
  get problem(): string | undefined {
    return this.#watch?.problem;
  }

  /** Makes the directory that is about to be published to a pod. @param pod `namespace/name` @throws Error of the system */
  make(podUid: string, pod: string, { namespace, serviceAccount }: Account): void {
    makeLiveDirectory(this.#options.runDir, podUid, { pod, namespace, serviceAccount });
    // By then it is published.
    setImmediate(() => this.#ask(podUid));
  }

  /** A volume of the pod has been unpublished: where it was this one, the directory goes. */
  release(podUid: string): void {
    if (livePods(this.#options.runDir).includes(podUid)) this.#ask(podUid);
  }

  /** Some mount has come or gone: the kubelet may have set up a pod's annotations. @throws Error of the system */
  mountsChanged(): void {
    for (const podUid of livePods(this.#options.runDir)) if (this.#watch?.follow(podUid)) this.#ask(podUid);
  }

  /** All live pods, those whose directories earlier daemons made included. @throws Error of the system */
  resync(): void {
    for (const podUid of new Set([...livePods(this.#options.runDir), ...this.#failing])) this.#ask(podUid);
  }

  /** Resolves when there is nothing more to do for now. */
  idle(): Promise<void> {
    return this.#jobs.idle();
  }

  close(): void {
    this.#isClosed = true;
    this.#retry.set(false);
    this.#watch?.close();
  }

  readonly #ask = (podUid: string): void => {
    if (!this.#isClosed) this.#jobs.request(podUid);
  };

  async #run(podUid: string): Promise<void> {
    try {
      if (await this.#reconcile(podUid)) this.#failing.delete(podUid);
      else this.#failing.add(podUid);
    } catch (error) {
      this.#options.log.error({ err: error, podUid }, 'the live pod could not be reconciled: next try within a minute');
      this.#failing.add(podUid);
    }
    if (!this.#isClosed) this.#retry.set(this.#failing.size > 0);
  }

  /** @returns whether nothing is left to be done */
  async #reconcile(podUid: string): Promise<boolean> {
    const { runDir, isPublished } = this.#options;
    const published = isPublished(podUid);
    // Without a kubelet, what running pods have is left alone.
    if (published === undefined) return true;
    if (!published) return this.#remove(podUid);
    const record = readLiveRecord(runDir, podUid);
    return record === undefined || this.#serve(podUid, record);
  }

  async #serve(podUid: string, record: LiveRecord): Promise<boolean> {
    const { runDir, kubeletDir = '', policy, log } = this.#options;
    // Before it is read: nothing in between is missed.
    this.#watch?.follow(podUid);
    const desired = desire(readAnnotations(kubeletDir, podUid), record, policy());
    const step = plan(desired, readBinds(runDir).get(podUid) ?? [], placesIn(runDir, podUid));
    const failures = await apply(podUid, record, step, { runDir, log, taken: this.#taken });
    const binds = readBinds(runDir).get(podUid) ?? [];
    const state = {
      pod: record.pod,
      classes: new Map(binds.map(({ place, source }) => [place, source])),
      refusals: [...desired.refusals, ...failures],
    };
    this.#tell(podUid, state);
    writeLiveStatus(runDir, podUid, contentsOf(state));
    if (step.taken.length + step.given.size > 0) this.#options.onChange();
    return failures.length === 0;
  }

  #tell(podUid: string, state: LiveState): void {
    const before = new Set(this.#states.get(podUid)?.refusals.map(({ message }) => message));
    for (const { reason, message } of state.refusals) {
      if (before.has(message)) continue;
      // So it begins with every pod.
      const level = reason === 'live_annotations_awaited' ? 'debug' : 'warn';
      this.#options.log[level]({ podUid, pod: state.pod, reason }, message);
    }
    this.#states.set(podUid, state);
  }

  /** @returns whether nothing of it is left */
  async #remove(podUid: string): Promise<boolean> {
    const { runDir, isPublished, onChange } = this.#options;
    this.#watch?.forget(podUid);
    this.#states.delete(podUid);
    const binds = readBinds(runDir).get(podUid) ?? [];
    for (const bind of binds) await unbindClass(runDir, podUid, bind);
    for (const place of placesIn(runDir, podUid)) await removePlace(runDir, podUid, place);
    if (binds.length > 0) onChange();
    // It may have been published again meanwhile, and then it is asked for.
    return isPublished(podUid) !== false || removeLiveDirectory(runDir, podUid);
  }
}
