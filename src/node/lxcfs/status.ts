import type { AttachedCount } from './attach.ts';
import type { AttachFailure } from './attach-pass.ts';

/** How lxcfs stands on this node. Fields may be added; those that are here stay. */
export interface LxcfsStatus {
  readonly supervisor: {
    readonly version: string;
    /** Where its policy comes from. */
    readonly policy: string;
    readonly pid: number;
    readonly startedAt: string;
  };
  /** Containers that start now get what they asked for. */
  readonly ready: boolean;
  /**
   * And there is a standby, both are of the lxcfs that is installed and of this container, and every container that can be is on the
   * active one; what can not is in `unhealed`. It does not count here: no container can keep an upgrade from going on.
   */
  readonly settled: boolean;
  /** What keeps it from being ready, or from having a standby. */
  readonly problem?: string;
  /** The lxcfs that is installed. */
  readonly program?: { readonly path: string; readonly version: string };
  /** Views that the active one serves. */
  readonly views: readonly string[];
  /** Views that the policy names and the active one does not serve: pods that ask for them read the node's. */
  readonly missingViews: readonly string[];
  /**
   * Views in which the active one tells a reader the node's values though it has limits of its own, and how that was seen. `isPartly`: in
   * some pods, or in one of several values.
   */
  readonly untrueViews: readonly { readonly view: string; readonly why: string; readonly isPartly?: true }[];
  readonly instances: readonly LxcfsInstanceStatus[];
  /** Instances that ended, or kept readers waiting and were ended, since the supervisor started. */
  readonly restarts: number;
  readonly attached: AttachedCount;
  readonly unhealed: readonly AttachFailure[];
  readonly lastGap?: Gap;
}

export interface LxcfsInstanceStatus {
  readonly id: string;
  readonly role: 'active' | 'standby' | 'starting' | 'leaving' | 'dead';
  readonly pid: number;
  readonly version: string;
  readonly since: string;
  readonly path: string;
}

/** The last time the active instance was lost. */
export interface Gap {
  readonly at: string;
  /** From its end being noticed until the last container was attached to another. */
  readonly seconds: number;
  readonly files: number;
  readonly containers: number;
  readonly cause: 'died' | 'hung';
}
