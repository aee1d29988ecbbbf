import type { TakenReport } from './apply.ts';
import type { LiveController } from './controller.ts';
import { contentsOf, type LiveContents } from './state.ts';

export interface LivePodStatus extends LiveContents {
  readonly podUid: string;
  /** `namespace/name`. */
  readonly pod: string;
}

/** What `hotmount status` says of live pods. */
export interface LiveStatus {
  readonly pods: readonly LivePodStatus[];
  /** What was taken away from running pods lately, the last one first. */
  readonly taken: readonly TakenReport[];
  /** Why annotations are seen later than they change. */
  readonly problem?: string;
}

/** What `hotmount status` says of live pods. */
export function liveStatus(live: LiveController): LiveStatus {
  const pods = [...live.states].map(([podUid, state]) => ({ podUid, pod: state.pod, ...contentsOf(state) }));
  pods.sort((a, b) => (a.pod < b.pod ? -1 : 1));
  return { pods, taken: live.taken, ...(live.problem === undefined ? {} : { problem: live.problem }) };
}
