import type { AttachResult } from './attach-pass.ts';
import type { Gap } from './status.ts';

/** Measures how long containers were without an lxcfs: from the loss of the active instance until they are attached to another. */
export class GapMeter {
  #lost: { readonly at: number; readonly cause: Gap['cause'] } | undefined;
  /** The last gap that has ended. */
  last: Gap | undefined;

  /** The active instance is lost. Where that is so already, the first loss counts. */
  begin(cause: Gap['cause']): void {
    this.#lost ??= { at: performance.now(), cause };
  }

  /**
   * Another instance is published.
   * @returns takes the result of attaching the containers to it, and gives the seconds that this took, since the loss where there was one
   */
  publish(): { readonly isAfterLoss: boolean; end(result: AttachResult): number } {
    const lost = this.#lost;
    this.#lost = undefined;
    const startedAt = lost?.at ?? performance.now();
    return {
      isAfterLoss: lost !== undefined,
      end: ({ files, namespaces: containers, attachedAt = performance.now() }) => {
        const seconds = (attachedAt - startedAt) / 1000;
        if (lost) this.last = { at: new Date().toISOString(), seconds, files, containers, cause: lost.cause };
        return seconds;
      },
    };
  }
}
