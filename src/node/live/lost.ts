import { type Finding, finding } from '../../contract/reasons.ts';
import { type Mount, parseMountinfo } from '../../linux/mountinfo.ts';
import { mountNamespaces, nodeNamespaces } from '../../linux/namespaces.ts';
import { readProcessFile } from '../../linux/process-file.ts';
import { containerOf } from '../containers/identity.ts';
import { isOfRunDir, type RunDir } from '../run-dir/run-dir.ts';
import { LIVE } from './directory.ts';

/**
 * That containers still have a pod's lost directory: no mount reaches them there. Each container that is started from now on has the new one.
 * Reads the mount tables of the whole node.
 * @returns undefined where none has
 */
export function findLost(runDir: RunDir, podUid: string): Finding | undefined {
  const node = nodeNamespaces();
  const holders = mountNamespaces()
    .filter(({ id, pid }) => !node.has(id) && hasLost(readProcessFile(pid, 'mountinfo'), runDir.device, podUid))
    .map(({ pid }) => containerOf(pid).containerId?.slice(0, 12) ?? `of process ${pid}`);
  return holders.length === 0 ? undefined : finding('live_directory_lost', { containers: holders.sort().join(', ') });
}

/**
 * Whether a mount table shows the pod's directory otherwise than as it is now: removed, or on the file system of an earlier run dir. Pure.
 * @param device of the run dir, `major:minor`
 */
export function hasLost(table: string, device: string, podUid: string): boolean {
  const root = `/${LIVE}/${podUid}`;
  const lines = table.split('\n').filter((line) => line.includes(root));
  const isLost = (mount: Mount): boolean =>
    isOfRunDir(mount) && (mount.root === `${root}//deleted` || (mount.root === root && mount.device !== device));
  return parseMountinfo(lines.join('\n')).some(isLost);
}
