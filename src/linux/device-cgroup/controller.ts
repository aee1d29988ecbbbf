import { errorCode } from '../errors.ts';
import { type Refusal, refuse } from './reasons.ts';
import type { DeviceAccess } from './rule.ts';

/** What cgroups are to have through us, by their paths. */
export type Grants = ReadonlyMap<string, DeviceAccess>;

export type GrantOutcome = { readonly state: 'granted' } | { readonly state: 'unneeded' } | Refusal;

/** One version of device control. Both steps look at what is there first, and do nothing where it is as it should be. */
export interface Controller {
  /** Takes back all that is not wanted, and gives nothing. @returns where that failed */
  revoke(wanted: Grants): Map<string, Refusal>;
  /** Gives what is wanted and missing; to be called right after {@link revoke}. @returns for each cgroup that is wanted */
  grant(wanted: Grants): Map<string, GrantOutcome>;
  /** What they have through us. */
  granted(): Map<string, DeviceAccess>;
}

/** The errors of a cgroup that is removed while it is looked at: its directory, or what is in an open one. */
export const isGone = (error: unknown): boolean => ['ENOENT', 'ENODEV'].includes(errorCode(error) ?? '');

export const failure = (reason: 'grant_failed' | 'revoke_failed', cgroup: string, error: unknown): Refusal => {
  const detail = (error as Error).message;
  return isGone(error) ? refuse('cgroup_gone', { cgroup, detail }) : refuse(reason, { detail });
};
