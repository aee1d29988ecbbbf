import { closeSync } from 'node:fs';
import type { BlockDevice } from '../../linux/block.ts';
import { errorCode } from '../../linux/errors.ts';
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
import type { PodTree } from './pod-trees.ts';
import { type Attempt, type MountTools, runMount } from './run-mount.ts';

/** Shows a mounted disk to pods with users of their own: to each by a mount with the ids of its users. */
export async function showToPods(
  tools: MountTools,
  device: BlockDevice,
  mounted: Mounted,
  to: readonly PodTree[],
): Promise<Attempt> {
  let failure: Finding | undefined;
  for (const pod of to) {
    try {
      const { finding, stuck } = await show(tools, device, mounted, pod);
      if (stuck) return { finding, stuck };
      failure ??= finding;
    } catch (error) {
      failure ??= finding('view_failed', { pod: pod.podUid, detail: (error as Error).message });
    }
  }
  return { finding: failure };
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

/** Where neither the kernel nor the file system can map it, the pod has the disk as the node has it. */
async function mapAt(tools: MountTools, device: BlockDevice, mounted: Mounted, place: Place): Promise<Attempt> {
  const { runDir } = tools;
  const { className, directory, record } = mounted;
  const path = pathOf(runDir, 'media', className, directory);
  const mapped = cloneFor(path, place.namespace);
  if (mapped !== undefined) return attach(mapped, place);
  if (!record.owner) return attach(cloneMount(path), place);
  // Mapped for the owner, it cannot be mapped once more. Mounted anew, it is the same file system, as it is on the disk.
  const { fileSystem, options } = record;
  const attempt = await runMount(tools, device, { className, fileSystem, options, nameBy: [] }, place.target);
  if (attempt.stuck) return attempt;
  if (attempt.finding) return attach(cloneMount(path), place);
  const hidden = pathOf(runDir, place.tree, className, hiddenName(record.name));
  const view = cloneFor(hidden, place.namespace) ?? cloneMount(path);
  detachMount(hidden);
  return attach(view, place);
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

/** Undefined where it cannot be mapped. @throws SystemCallError */
function cloneFor(path: string, namespace: number): DetachedMount | undefined {
  try {
    return cloneMapped(path, namespace);
  } catch (error) {
    if (errorCode(error) === 'EINVAL') return undefined;
    if (errorCode(error) !== 'ENOSYS') throw error;
  }
  const view = cloneMount(path);
  try {
    setMountAttributes(view, { propagation: 'private', idmap: namespace });
    return view;
  } catch (error) {
    closeSync(view);
    // EPERM: it is mapped already.
    if (['EINVAL', 'EPERM'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
}
