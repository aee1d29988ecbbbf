import { closeSync, mkdirSync } from 'node:fs';
import { attachMount, cloneMount, setMountAttributes } from '../../../src/linux/mounts.ts';
import { containerNamespace } from '../../../src/linux/user-namespace.ts';
import { MAPPING } from './container.ts';
import { type Rig, run } from './rig.ts';

const RANGES = MAPPING.map(({ containerID, hostID, size }) => ({
  containerId: containerID,
  hostId: hostID,
  length: size,
}));
let volumes = 0;

/**
 * A directory, and what is mounted below it, as a volume that is mapped to the ids of a container's users: itself, and nothing below. Runtimes do
 * that themselves for mounts with `uidMappings`, runc since 1.2.
 */
export async function mappedVolume(rig: Rig, directory: string): Promise<string> {
  const namespace = await containerNamespace({ uids: RANGES, gids: RANGES });
  const tree = cloneMount(directory, { recursive: true });
  setMountAttributes(tree, { idmap: namespace });
  const target = rig.path(`volume-${volumes++}`);
  mkdirSync(target);
  // What is mounted there later comes from the directory alone, as in a container.
  run('mount', '--bind', target, target);
  run('mount', '--make-private', target);
  attachMount(tree, target);
  for (const descriptor of [tree, namespace]) closeSync(descriptor);
  return target;
}
