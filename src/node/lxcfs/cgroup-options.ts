import { readFileSync } from 'node:fs';
import { runChild } from '../../linux/child.ts';
import { type Mount, parseMountinfo } from '../../linux/mountinfo.ts';
import { patient } from '../../linux/slowness.ts';
import type { Logger } from '../../observability/logger.ts';
import { inNodeCgroups } from './cgroups.ts';

/** ms. */
const DEADLINE = patient(5000);

/**
 * The cgroup mounts of the node's first process, one a hierarchy, those that show all of it. Seen from a pod's cgroup namespace, their root
 * is `/../..` (cgroup_show_path in kernel/cgroup/cgroup.c).
 */
export function rootCgroupMounts(): Mount[] {
  const mounts = parseMountinfo(readFileSync('/proc/1/mountinfo', 'latin1'));
  const whole = mounts.filter(({ fsType, root }) => /^cgroup2?$/.test(fsType) && /^(\/|(\/\.\.)+)$/.test(root));
  return [...new Map(whole.map((mount) => [mount.device, mount])).values()];
}

/**
 * The options of cgroup2, which the whole node shares: `nsdelegate`, `memory_recursiveprot` and the like (cgroup-v2.rst, "Mounting").
 * None where it is not mounted.
 */
export function readCgroupOptions(): string[] {
  const mount = rootCgroupMounts().find(({ fsType }) => fsType === 'cgroup2');
  return mount?.superOptions.filter((option) => !/^r[ow]$/.test(option)) ?? [];
}

/** Puts back those of the options that are gone, and says so. Never throws. @param before what they were */
export async function restoreCgroupOptions(before: readonly string[], log: Logger): Promise<void> {
  const lost = before.filter((option) => !readCgroupOptions().includes(option));
  if (lost.length === 0) return;
  const options = before.join(',');
  try {
    // A new mount in the first cgroup namespace sets them for the node. It ends with its mount namespace.
    const mount = ['mount', '-t', 'cgroup2', '-o', options, 'cgroup2', '/sys'];
    const [program, ...args] = inNodeCgroups('unshare', '--mount', ...mount);
    const { code, stderr } = await runChild(program, args, { deadline: DEADLINE });
    if (code !== 0) throw new Error(stderr.trim() || `${program} failed`);
    const missing = lost.filter((option) => !readCgroupOptions().includes(option));
    if (missing.length > 0)
      throw new Error(`the kernel has not taken ${missing.join(', ')}: this is not its first cgroup namespace`);
    log.warn({ options: lost }, 'starting lxcfs cleared mount options of the node’s cgroup2: they are set again');
  } catch (error) {
    log.error(
      { options: lost, err: error },
      `starting lxcfs cleared mount options of the node’s cgroup2, and they could not be set again: as root on the node, run \`mount -o remount,${options} /sys/fs/cgroup\``,
    );
  }
}
