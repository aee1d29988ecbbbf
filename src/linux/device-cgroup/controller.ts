import { errorCode } from '../errors.ts';
import { type Refusal, refuse } from './reasons.ts';
import type { DeviceAccess } from './rule.ts';

/** What cgroups are to have through us, by their paths. */
export type Grants = ReadonlyMap<string, DeviceAccess>;

export type GrantOutcome = { readonly state: 'granted' } | { readonly state: 'unneeded' } | Refusal;

/** One version of device control. */
export interface Controller {
  /** Compares what is granted with what is wanted; the result makes the one the other, in two steps. */
  plan(wanted: Grants): GrantPlan;
  /** What cgroups have through us. @throws SystemCallError */
  granted(): Map<string, DeviceAccess>;
}

/** Both steps do nothing where all is as it should be, and each cgroup fails for itself. */
export interface GrantPlan {
  /** Takes back all that is not wanted, and gives nothing. @returns where that failed */
  revoke(): Map<string, Refusal>;
  /** Then gives what is wanted and missing. @returns for each cgroup that is wanted */
  grant(): Map<string, GrantOutcome>;
}

/** The errors of a cgroup that is removed while it is read: its directory, or what is in an open one. */
export const isGone = (error: unknown): boolean => ['ENOENT', 'ENODEV'].includes(errorCode(error) ?? '');

/** The refusal that an error of the system amounts to: a cgroup that has gone meanwhile is a reason of its own. */
export const failure = (reason: 'grant_failed' | 'revoke_failed', cgroup: string, error: unknown): Refusal => {
  const detail = (error as Error).message;
  return isGone(error) ? refuse('cgroup_gone', { cgroup, detail }) : refuse(reason, { detail });
};
