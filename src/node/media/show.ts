import { closeSync } from 'node:fs';
import type { BlockDevice } from '../../linux/block.ts';
import { exists } from '../../linux/exists.ts';
import {
  attachMount,
  cloneMapped,
  cloneMount,
  type DetachedMount,
  detachMount,
  setMountAttributes,
} from '../../linux/mounts.ts';
import { containerNamespace } from '../../linux/user-namespace.ts';
import { type Finding, finding } from '../reasons.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { type Mounted, mediaDirectory } from './actual.ts';
import { hiddenName, removeDirectories, renameDirectory } from './directories.ts';
import { makeTarget } from './mount.ts';
import { explainMapFailure } from './mount-failure.ts';
import type { PodTree } from './pod-trees.ts';
import { type Attempt, type MountTools, runMount } from './run-mount.ts';

/** Why a pod with users of its own does not have a disk that is mounted. */
export interface NotShown {
  readonly podUid: string;
  readonly tree: PodTree['tree'];
  readonly finding: Finding;
}

/** Shows a mounted disk to pods with users of their own: to each by a mount with the ids of its users. */
export async function showToPods(
  tools: MountTools,
  device: BlockDevice,
  mounted: Mounted,
  to: readonly PodTree[],
): Promise<Attempt & { readonly notShown: readonly NotShown[] }> {
  const notShown: NotShown[] = [];
  for (const pod of to) {
    const { podUid, tree } = pod;
    let detail: string | undefined;
    try {
      const { finding: failure, stuck } = await show(tools, device, mounted, pod);
      if (stuck) return { finding: failure, stuck, notShown };
      detail = failure?.message;
    } catch (error) {
      detail = explainMapFailure(error as Error);
    }
    if (detail !== undefined) {
      notShown.push({ podUid, tree, finding: finding('view_failed', { pod: podUid, detail }) });
    }
  }
  return { finding: undefined, notShown };
}

async function show(
  tools: MountTools,
  device: BlockDevice,
  mounted: Mounted,
  { tree, mapping }: PodTree,
): Promise<Attempt> {
  const { runDir } = tools;
  const { className, directory, record } = mounted;
  const namespace = await containerNamespace(mapping, record.owner);
  try {
    await removeDirectories(runDir, [mediaDirectory(tree, className, directory)]);
    // The pod may have ended meanwhile.
    if (!exists(`${runDir.work}/${tree}/${className}`)) return { finding: undefined };
    const target = await makeTarget(runDir, tree, className, record);
    try {
      const attempt = await mapAt(tools, device, mounted, { tree, namespace, target });
      if (!attempt.finding) renameDirectory(runDir, tree, className, hiddenName(record.name), directory);
      return attempt;
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(namespace);
  }
}

interface Place {
  readonly tree: PodTree['tree'];
  /** Descriptors. */
  readonly namespace: number;
  readonly target: number;
}

/** Where the file system cannot be mapped, the pod has the disk as the node has it. */
async function mapAt(tools: MountTools, device: BlockDevice, mounted: Mounted, place: Place): Promise<Attempt> {
  const { runDir } = tools;
  const { className, directory, record } = mounted;
  const path = pathOf(runDir, 'media', className, directory);
  const mapped = cloneMapped(path, place.namespace);
  if (mapped === 'cannot be mapped') return attach(cloneMount(path), place);
  if (mapped !== 'mapped already') return attach(mapped, place);
  // Mounted anew, it is the same file system, as it is on the disk.
  const { fileSystem, options } = record;
  const attempt = await runMount(tools, device, { className, fileSystem, options, nameBy: [] }, place.target);
  // Refused where the kernel has turned it read-only after an error: that stays.
  if (attempt.finding?.reason === 'held_exclusively') return attach(cloneMount(path), place);
  if (attempt.finding) return attempt;
  const hidden = pathOf(runDir, place.tree, className, hiddenName(record.name));
  try {
    const again = cloneMapped(hidden, place.namespace);
    detachMount(hidden);
    return attach(typeof again === 'string' ? cloneMount(path) : again, place);
  } catch (error) {
    // The next try makes the directory anew, which takes one that nothing is mounted on.
    detachMount(hidden);
    throw error;
  }
}

const pathOf = (runDir: RunDir, ...place: Parameters<typeof mediaDirectory>): string =>
  `${runDir.path}/${mediaDirectory(...place)}`;

function attach(view: DetachedMount, { tree, target }: Place): Attempt {
  try {
    setMountAttributes(view, { set: tree.endsWith('/media-ro') ? ['readOnly'] : [], propagation: 'private' });
    attachMount(view, target);
  } finally {
    closeSync(view);
  }
  return { finding: undefined };
}
