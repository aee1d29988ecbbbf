import type { Logger } from '../../observability/logger.ts';
import type { Finding, NodeReason } from '../reasons.ts';
import { Retry } from '../reconcile/retry.ts';
import type { Mounted } from './actual.ts';
import type { NotShown } from './show.ts';

/** How one disk stands. */
export type MediaState =
  | { readonly kind: 'mounted'; readonly mounted: Mounted; readonly notShown: readonly NotShown[] }
  | Finding;

/** Others use it: no event says when that ends, and to ask is cheap. */
const IN_USE: ReadonlySet<NodeReason> = new Set([
  'has_holders',
  'swap',
  'mounted_elsewhere',
  'held_exclusively',
  'btrfs_member',
  'backs_loop_device',
]);
/** The disk's own event ends these. */
const OWN_EVENT: ReadonlySet<NodeReason> = new Set(['server_crashes']);

/** There is nothing on it to be mounted. */
const EMPTY: ReadonlySet<NodeReason> = new Set([
  'no_file_system',
  'no_partitions',
  'encrypted',
  'not_a_file_system',
  'file_system_unknown',
  'system_partition',
  'no_class',
]);

/** ms */
const RETRY_FAILED = { first: 2000, last: 300_000 };
const RETRY_IN_USE = { first: 1000, last: 15_000 };

/** How the disks stand, each change logged once, and which of them are reconciled again on a timer. */
export class MediaStates {
  readonly byDisk = new Map<string, MediaState>();
  readonly #log: Logger;
  readonly #enqueue: (name: string) => void;
  /** Each disk has its own back-off: what becomes of another one says nothing of it. */
  readonly #retries = new Map<string, { readonly kind: typeof RETRY_FAILED; readonly retry: Retry }>();
  readonly #due = new Map<string, typeof RETRY_FAILED>();

  /** @param enqueue reconciles that disk again */
  constructor(log: Logger, enqueue: (name: string) => void) {
    this.#log = log;
    this.#enqueue = enqueue;
  }

  /** Reconciling the disk begins. */
  begin(name: string): void {
    this.#due.delete(name);
  }

  /** Reconciling it has ended. */
  end(name: string): void {
    const kind = this.#due.get(name);
    const known = this.#retries.get(name);
    if (known && known.kind !== kind) {
      known.retry.set(false);
      this.#retries.delete(name);
    }
    if (!kind) return;
    const { retry } = this.#retries.get(name) ?? { retry: new Retry(() => this.#enqueue(name), kind) };
    this.#retries.set(name, { kind, retry });
    retry.set(true);
  }

  /** Disks that somebody else uses, or used it last time. */
  get inUse(): string[] {
    return [...this.byDisk].flatMap(([name, state]) =>
      state.kind !== 'mounted' && IN_USE.has(state.reason) ? name : [],
    );
  }

  /** Whether all of these have been looked at, and nothing is on them to be mounted. */
  areEmpty(names: readonly string[]): boolean {
    return names.every((name) => {
      const state = this.byDisk.get(name);
      return state !== undefined && state.kind !== 'mounted' && EMPTY.has(state.reason);
    });
  }

  /** Something about it has failed. */
  fail(name: string, failure: Finding): void {
    this.#leave(name, failure);
  }

  /** Nothing is left to do. @param outcome undefined: the disk has gone @param notShown tried again */
  rest(name: string, outcome: Mounted | Finding | undefined, notShown: readonly NotShown[]): void {
    if (!outcome) this.byDisk.delete(name);
    else if ('reason' in outcome) this.#leave(name, outcome);
    else {
      this.#tellNotShown(name, notShown);
      this.byDisk.set(name, { kind: 'mounted', mounted: outcome, notShown });
      if (notShown.length > 0) this.#due.set(name, RETRY_FAILED);
    }
  }

  #leave(name: string, left: Finding): void {
    this.#tell(name, left);
    this.byDisk.set(name, left);
    if (IN_USE.has(left.reason)) this.#due.set(name, RETRY_IN_USE);
    else if (left.kind === 'failed' && !OWN_EVENT.has(left.reason)) this.#due.set(name, RETRY_FAILED);
  }

  /** Logs a change. */
  #tell(name: string, { kind, reason, message }: Finding): void {
    const before = this.byDisk.get(name);
    if (before !== undefined && before.kind !== 'mounted' && before.message === message) return;
    this.#log[kind === 'failed' ? 'error' : 'debug']({ disk: name, reason }, message);
  }

  #tellNotShown(name: string, notShown: readonly NotShown[]): void {
    const before = this.byDisk.get(name);
    const told = new Set(before?.kind === 'mounted' ? before.notShown.map(({ finding }) => finding.message) : []);
    for (const { podUid, finding } of notShown) {
      const { reason, message } = finding;
      if (!told.has(message)) this.#log.error({ disk: name, podUid, reason }, message);
    }
  }
}
