import type { Instance } from './instance.ts';
import type { Instances } from './instances.ts';
import type { LxcfsInstanceStatus } from './status.ts';

/** Whether there is an active instance and a standby, both of the lxcfs that is installed. */
export function isSettled(instances: Instances, active: Instance | undefined): boolean {
  const fit = instances.all.filter((instance) => instance.phase === 'ready' && instances.isCurrent(instance));
  return active !== undefined && fit.length > 1 && fit.includes(active);
}

/** The instances as the status shows them. */
export const describeInstances = (instances: Instances, active: Instance | undefined): LxcfsInstanceStatus[] =>
  instances.all.map((instance) => ({
    id: instance.id,
    role: roleOf(instance, instances, active),
    pid: instance.record.pid,
    version: instance.record.version,
    since: instance.record.since,
    path: instance.mountPoint,
  }));

function roleOf(instance: Instance, instances: Instances, active: Instance | undefined): LxcfsInstanceStatus['role'] {
  if (instance.phase === 'dead') return 'dead';
  if (instance.phase === 'unproven') return 'starting';
  if (instance === active) return 'active';
  return instances.isCurrent(instance) ? 'standby' : 'leaving';
}
