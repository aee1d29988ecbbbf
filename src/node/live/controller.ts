import type { Finding } from '../../contract/reasons.ts';
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
  isWhole,
  type LiveRecord,
  livePods,
  makeLiveDirectory,
  mendLiveDirectory,
  placesIn,
  readLiveRecord,
  removeLiveDirectory,
  writeLiveStatus,
} from './directory.ts';
import { findLost } from './lost.ts';
import { plan } from './plan.ts';
import { contentsOf, type LiveState } from './state.ts';

export interface LiveControllerOptions {
  readonly runDir: RunDir;
  /** Undefined: there is no kubelet, and so no live pod. */
  readonly kubeletDir: string | undefined;
  /** In force now. */
  readonly policy: () => Policy;
  /** Whose directory is published; undefined where nobody knows yet. */
  readonly publications: () => Publications | undefined;
  readonly log: Logger;
  /** A pod has got or lost a class. */
  readonly onChange: () => void;
  /** The kubelet has written some pod's annotations: `mountsChanged` is to be called once that has settled. */
  readonly onAnnotated: () => void;
}

/** What the kubelet has had published, whether or not the directories are there. */
interface Publications {
  /** Undefined without a kubelet. @throws Error of the system */
  has(podUid: string): boolean | undefined;
  /** Undefined where that is not written down. */
  ownerOf(podUid: string): { readonly pod: string; readonly serviceAccount: string } | undefined;
  /** UIDs. */
  all(): string[];
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
  readonly #retry = new Retry(() => this.#askAll(this.#failing), RETRY);
  /** Pods of which some container still has a directory that was lost. */
  readonly #lost = new Set<string>();
  readonly #lookAgain = new Retry(() => this.#askAll(this.#lost), RETRY);
  readonly #taken: HeldReports<TakenReport>;
  #isClosed = false;

  constructor(options: LiveControllerOptions) {
    const { kubeletDir, log } = options;
    this.#options = options;
    this.#watch = kubeletDir === undefined ? undefined : new AnnotationsWatch(kubeletDir, this.#annotated, log);
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
    this.#make(podUid, { pod, namespace, serviceAccount });
    // By then it is published.
    setImmediate(() => this.#ask(podUid));
  }

  /** A volume of the pod has been unpublished: where it was this one, the directory goes. */
  release(podUid: string): void {
    if (this.#known().has(podUid)) this.#ask(podUid);
  }

  /**
   * Some mount has come or gone, or annotations have: the kubelet may have set up a pod's annotations, or written those of another, or somebody
   * taken away what is in the run dir.
   * @throws Error of the system
   */
  mountsChanged(): void {
    const { runDir } = this.#options;
    const known = this.#known();
    const binds = known.size > 0 ? readBinds(runDir) : undefined;
    for (const podUid of known) {
      const isOther = this.#watch?.follow(podUid);
      const isAsLeft = this.#states.get(podUid)?.classes.size === (binds?.get(podUid)?.length ?? 0);
      if (isOther || !isAsLeft || !isWhole(runDir, podUid)) this.#ask(podUid);
    }
  }

  /** All live pods: those whose directories earlier daemons made, and those that have lost theirs. @throws Error of the system */
  resync(): void {
    const published = this.#options.publications()?.all() ?? [];
    this.#askAll(this.#known().union(new Set([...published, ...this.#failing])));
  }

  /** Resolves when there is nothing more to do for now. */
  idle(): Promise<void> {
    return this.#jobs.idle();
  }

  close(): void {
    this.#isClosed = true;
    this.#retry.set(false);
    this.#lookAgain.set(false);
    this.#watch?.close();
  }

  readonly #ask = (podUid: string): void => {
    if (!this.#isClosed) this.#jobs.request(podUid);
  };

  readonly #annotated = (podUid: string): void => {
    this.#ask(podUid);
    this.#options.onAnnotated();
  };

  #askAll(podUids: Iterable<string>): void {
    for (const podUid of [...podUids]) this.#ask(podUid);
  }

  /** Those that have a directory, and those that had one. */
  #known(): Set<string> {
    return new Set([...livePods(this.#options.runDir), ...this.#states.keys()]);
  }

  /** Where one is published that is not there, containers may have the one that was. */
  #make(podUid: string, record: LiveRecord): LiveRecord {
    const { runDir, publications } = this.#options;
    const before = readLiveRecord(runDir, podUid);
    if (before) return mendLiveDirectory(runDir, podUid, { ...record, isReplacement: before.isReplacement === true });
    const made = { ...record, isReplacement: publications()?.has(podUid) === true };
    makeLiveDirectory(runDir, podUid, made);
    return made;
  }

  /** @returns undefined where nobody has written down whose it was: the kubelet says so when it starts */
  #makeAgain(podUid: string): LiveRecord | undefined {
    const owner = this.#options.publications()?.ownerOf(podUid);
    if (owner === undefined) return undefined;
    this.#options.log.warn({ podUid, pod: owner.pod }, 'the live directory of the pod is not there: it is made again');
    const [namespace = ''] = owner.pod.split('/');
    return this.#make(podUid, { ...owner, namespace });
  }

  async #run(podUid: string): Promise<void> {
    try {
      if (await this.#reconcile(podUid)) this.#failing.delete(podUid);
      else this.#failing.add(podUid);
    } catch (error) {
      this.#options.log.error({ err: error, podUid }, 'the live pod could not be reconciled: next try within a minute');
      this.#failing.add(podUid);
    }
    if (this.#isClosed) return;
    this.#retry.set(this.#failing.size > 0);
    this.#lookAgain.set(this.#lost.size > 0);
  }

  /** @returns whether nothing is left to be done */
  async #reconcile(podUid: string): Promise<boolean> {
    const { runDir, publications } = this.#options;
    const published = publications()?.has(podUid);
    // Without a kubelet, what running pods have is left alone.
    if (published === undefined) return true;
    if (!published) return this.#remove(podUid);
    const record = readLiveRecord(runDir, podUid) ?? this.#makeAgain(podUid);
    if (record === undefined) return true;
    return this.#serve(podUid, isWhole(runDir, podUid) ? record : mendLiveDirectory(runDir, podUid, record));
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
      refusals: [...this.#seeLost(podUid, record), ...desired.refusals, ...failures],
    };
    this.#tell(podUid, state);
    writeLiveStatus(runDir, podUid, contentsOf(state));
    if (step.taken.length + step.given.size > 0) this.#options.onChange();
    return failures.length === 0;
  }

  #seeLost(podUid: string, record: LiveRecord): Finding[] {
    const lost = record.isReplacement ? findLost(this.#options.runDir, podUid) : undefined;
    if (lost) this.#lost.add(podUid);
    else this.#lost.delete(podUid);
    if (record.isReplacement && !lost) {
      mendLiveDirectory(this.#options.runDir, podUid, { ...record, isReplacement: false });
    }
    return lost ? [lost] : [];
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
    const { runDir, publications, onChange } = this.#options;
    this.#watch?.forget(podUid);
    this.#states.delete(podUid);
    this.#lost.delete(podUid);
    const binds = readBinds(runDir).get(podUid) ?? [];
    for (const bind of binds) await unbindClass(runDir, podUid, bind);
    for (const place of placesIn(runDir, podUid)) await removePlace(runDir, podUid, place);
    if (binds.length > 0) onChange();
    // It may have been published again meanwhile, and then it is asked for.
    return publications()?.has(podUid) !== false || removeLiveDirectory(runDir, podUid);
  }
}
