import { existsSync, realpathSync, rmdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { errorCode } from '../linux/errors.ts';
import { readMountinfo } from '../linux/mountinfo.ts';
import { detachMount } from '../linux/mounts.ts';
import { detachIn } from '../linux/namespace-entry.ts';
import { findMounts, namespaceOf } from '../linux/namespaces.ts';
import type { Logger } from '../observability/logger.ts';
import { removeDriver } from './csi/driver.ts';
import { publishedVolumes } from './csi/target.ts';
import { removeResources } from './device-plugin/registry.ts';
import { readNodes } from './devices/actual.ts';
import { writeGrantTimes } from './devices/grant-times.ts';
import { openGrants } from './devices/grants.ts';
import { removeEntry } from './devices/nodes.ts';
import { cleanUpLxcfs } from './lxcfs/cleanup.ts';
import { readMounted } from './media/actual.ts';
import { unmountDisk } from './media/unmount.ts';
import { tryLeaderLock } from './run-dir/leader-lock.ts';
import { isRunDir, openRunDir, type RunDir } from './run-dir/run-dir.ts';

/**
 * Undoes all that daemons have done on this node: removes device nodes and takes access to them back, unmounts every disk, then removes
 * the run dir. Running pods are left with empty directories.
 * @param kubeletDir where the CSI driver is registered; undefined: it never was
 * @returns false where something could not be undone; the log says what
 * @throws Error where a daemon is running, or pods still have volumes
 */
export async function cleanUp(given: string, kubeletDir: string | undefined, log: Logger): Promise<boolean> {
  // As mount tables name it.
  const path = existsSync(given) ? realpathSync(given) : resolve(given);
  const runDir = isMountedAt(path) ? openRunDir(path) : undefined;
  if (runDir && !tryLeaderLock(runDir)) throw new Error(`hotmount node is running on ${path}: stop it first`);
  if (kubeletDir !== undefined) {
    refuseWhileUsed(kubeletDir);
    removeDriver(kubeletDir);
    removeResources(kubeletDir);
  }
  // Also without a run dir: what was granted outlives it.
  let clean = takeAccessBack(path, log);
  if (!runDir) {
    log.info({ runDir: path }, 'there is no run dir: nothing more to clean up');
    return clean;
  }
  const { nodes, links } = readNodes(runDir);
  for (const node of [...links.keys(), ...nodes.keys()]) removeEntry(runDir, node);
  for (const mounted of readMounted(runDir)) {
    const { className, directory, record } = mounted;
    const { finding } = await unmountDisk(runDir, mounted, false);
    if (finding) clean = false;
    log[finding ? 'error' : 'info'](
      { disk: record.name, class: className, directory },
      finding?.message ?? 'unmounted',
    );
  }
  if (!(await cleanUpLxcfs(runDir, log))) clean = false;
  if (clean && !(await detachElsewhere(runDir, log))) clean = false;
  runDir.close();
  if (!clean) return false;
  while (isMountedAt(path)) detachMount(path);
  try {
    rmdirSync(path);
  } catch (error) {
    // In a container it is the volume's mount point; and what is not empty was not ours.
    if (!['EBUSY', 'ENOTEMPTY', 'EROFS'].includes(errorCode(error) ?? '')) throw error;
  }
  log.info({ runDir: path }, 'removed the run dir');
  return true;
}

const PODS_NAMED = 20;

/** A pod without its driver can neither be started again nor deleted. */
function refuseWhileUsed(kubeletDir: string): void {
  const pods = [...new Set(publishedVolumes(kubeletDir).map(({ pod }) => pod))];
  if (pods.length === 0) return;
  const more = pods.length > PODS_NAMED ? ` and ${pods.length - PODS_NAMED} more` : '';
  throw new Error(
    `pods of this node still have hotmount volumes: ${pods.slice(0, PODS_NAMED).join(', ')}${more}; delete them while hotmount node is running (with the chart: --set cleanup=false brings it back), then clean up`,
  );
}

const isMountedAt = (path: string): boolean =>
  readMountinfo().some((mount) => mount.mountPoint === path && isRunDir(mount));

/**
 * Detaches the run dir on the node, and wherever else a container has all of it. In a container, a volume is a mount of its own, on a
 * directory that is the container's: unmounting that tells nobody. What pods have is a directory of it, and stays.
 */
async function detachElsewhere(runDir: RunDir, log: Logger): Promise<boolean> {
  const own = namespaceOf('self');
  const elsewhere = () =>
    findMounts([runDir.device])
      .namespaces.map(({ namespace, mounts }) => ({ namespace, mounts: mounts.filter(isRunDir) }))
      .filter(({ namespace, mounts }) => namespace.id !== own && mounts.length > 0);
  // Some go with others, as they receive from them: what counts is what is left.
  let detail = 'it was mounted meanwhile';
  for (const { namespace, mounts } of elsewhere()) {
    for (const error of (await detachIn(namespace, mounts)).errors) detail = error.message;
  }
  const [left] = elsewhere();
  if (left)
    log.error(`process ${left.namespace.pid} still has the run dir at ${left.mounts[0]?.mountPoint}: ${detail}`);
  return left === undefined;
}

/** @returns whether nothing is granted any more */
function takeAccessBack(path: string, log: Logger): boolean {
  const grants = openGrants({ path });
  const granted = [...grants.granted().keys()];
  for (const [cgroup, outcome] of grants.reconcile([])) {
    if (outcome.state === 'refused') log.error({ cgroup, reason: outcome.reason }, outcome.message);
  }
  for (const cgroup of granted) {
    writeGrantTimes(cgroup, {});
    log.info({ cgroup }, 'access to devices taken back');
  }
  return grants.granted().size === 0;
}
