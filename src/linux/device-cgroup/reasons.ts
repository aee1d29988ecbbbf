/** Why a container is not granted what it should be. The code is the word in logs, metrics and the status; the sentence is for a person. */
export const GRANT_REASONS = {
  parent_restricts:
    '{parent}, above it, is not the container’s alone and restricted as well: allow the device there first (systemd: DevicePolicy= and DeviceAllow= of that unit)',
  programs_exclusive:
    'a device program on {parent}, or above, was attached so that it stays alone (without BPF_F_ALLOW_MULTI): have the program that attached it, usually an old container runtime, updated',
  kernel_too_old:
    'this kernel has device programs, and not what granting through them takes (bpf_set_retval, Linux 5.18): {detail}',
  bpf_refused:
    'the kernel did not take hotmount’s device program: {detail}. The daemon has to be privileged (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON), and bpf(2) not forbidden by seccomp or lockdown',
  cgroup_gone: 'its cgroup {cgroup} has gone meanwhile: {detail}',
  grant_failed:
    'its device cgroup could not be read or changed: {detail}. It is tried again; if that does not help, see whether the node is out of memory, and whether the daemon may write to the cgroup file system',
  revoke_failed:
    'what hotmount had granted could not be taken back: {detail}. It is tried again; until that helps, only ending the container takes it back for certain',
} as const;

export type GrantReason = keyof typeof GRANT_REASONS;

/** Whether it may end by itself: what the other reasons name ends by a change to the node or the container. */
export const mayPass = (reason: GrantReason): boolean => reason === 'grant_failed' || reason === 'revoke_failed';

export interface Refusal {
  readonly state: 'refused';
  readonly reason: GrantReason;
  readonly message: string;
}

type Placeholders<S extends string> = S extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;

/** A refusal for this reason, its sentence filled in. */
export const refuse = <R extends GrantReason>(
  reason: R,
  parameters: { readonly [P in Placeholders<(typeof GRANT_REASONS)[R]>]: string },
): Refusal => ({
  state: 'refused',
  reason,
  message: GRANT_REASONS[reason].replace(
    /\{(\w+)\}/g,
    (_, name: string) => (parameters as Readonly<Record<string, string>>)[name] ?? '',
  ),
});
