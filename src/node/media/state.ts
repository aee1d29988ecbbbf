import type { Logger } from '../../observability/logger.ts';
import type { Finding, NodeReason } from '../reasons.ts';
import { Retry } from '../reconcile/retry.ts';
import type { Mounted } from './actual.ts';

/** How one disk stands. */
export type MediaState = { readonly kind: 'mounted'; readonly mounted: Mounted } | Finding;

/** Failures retried on a timer: no event says when they end. */
const RETRIED: ReadonlySet<NodeReason> = new Set([
  'run_dir_failed',
  'unexpected',
  'unmount_failed',
  'twin_failed',
  'still_visible',
  'unclear_whether_gone',
  'device_hangs',
]);
/** ms */
const RETRY = { first: 2000, last: 300_000 };

/** How the disks stand, each change logged once, and which of them are reconciled again on a timer. */
export class MediaStates {
  readonly byDisk = new Map<string, MediaState>();
  readonly #log: Logger;
  readonly #unfinished = new Set<string>();
  readonly #retry: Retry;

  /** @param enqueue reconciles that disk again */
  constructor(log: Logger, enqueue: (name: string) => void) {
    this.#log = log;
    this.#retry = new Retry(() => {
      for (const name of this.#unfinished) enqueue(name);
    }, RETRY);
  }

  /** Reconciling the disk begins. */
  begin(name: string): void {
    this.#unfinished.delete(name);
  }

  /** Reconciling it has ended. */
  end(): void {
    this.#retry.set(this.#unfinished.size > 0);
  }

  /** Something about it has failed. */
  fail(name: string, failure: Finding): void {
    this.#tell(name, failure);
    this.byDisk.set(name, failure);
    if (RETRIED.has(failure.reason)) this.#unfinished.add(name);
  }

  /** Nothing is left to do. @param outcome undefined: the disk has gone */
  rest(name: string, outcome: Mounted | Finding | undefined): void {
    if (!outcome) this.byDisk.delete(name);
    else if (!('reason' in outcome)) this.byDisk.set(name, { kind: 'mounted', mounted: outcome });
    else {
      this.#tell(name, outcome);
      this.byDisk.set(name, outcome);
    }
  }

  /** Logs a change. */
  #tell(name: string, { kind, reason, message }: Finding): void {
    const before = this.byDisk.get(name);
    if (before !== undefined && before.kind !== 'mounted' && before.message === message) return;
    this.#log[kind === 'failed' ? 'error' : 'debug']({ disk: name, reason }, message);
  }
}
