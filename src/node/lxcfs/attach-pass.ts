import type { MountNamespace } from '../../linux/namespaces.ts';
import { type ContainerIdentity, containerOf } from '../containers/identity.ts';
import type { Attachment } from './attach-plan.ts';

/** A file that a container should read from lxcfs, and does not. */
export interface AttachFailure extends ContainerIdentity {
  readonly pid: number;
  readonly path: string;
  readonly reason: string;
}

/** What one or several passes have done. */
export interface AttachResult {
  /** Files put in place. */
  readonly files: number;
  readonly namespaces: number;
  /** When the last one was, in ms of `performance.now()`; unmounting what was there before takes longer. */
  readonly attachedAt: number | undefined;
  readonly failures: readonly AttachFailure[];
}

/** What one pass over containers does, as it goes. */
export class Pass implements AttachResult {
  files = 0;
  namespaces = 0;
  attachedAt: number | undefined;
  /** Paths at which anything was changed. */
  actions = 0;
  failures: AttachFailure[] = [];

  add(other: Pass): void {
    this.files += other.files;
    this.namespaces += other.namespaces;
    this.attachedAt = other.attachedAt ?? this.attachedAt;
    this.actions += other.actions;
  }

  fail({ pid }: MountNamespace, { mountPoint }: Attachment, reason: string): void {
    this.failures.push({ ...containerOf(pid), pid, path: mountPoint, reason });
  }
}
