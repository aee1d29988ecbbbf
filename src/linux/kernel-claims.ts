import type { BlockDevice } from './block.ts';
import { btrfsMembers } from './btrfs.ts';
import { deviceNumber } from './device-number.ts';
import { loopBackings } from './loop.ts';
import type { Mount } from './mountinfo.ts';

/** What the kernel does with a disk that neither `holders` in sysfs nor, of every member, the mount tables name. */
export type KernelClaim =
  /** It belongs to a btrfs that is mounted. `mount`: one of the node's, where it is there; in a container, somebody else has it. */
  | { readonly kind: 'btrfs'; readonly device: string; readonly uuid: string; readonly mount: Mount | undefined }
  | { readonly kind: 'loop'; readonly device: string; readonly loop: string };

/**
 * All claims on these devices.
 * @param mounts of the node
 */
export function kernelClaimsOn(
  devices: readonly Pick<BlockDevice, 'name' | 'device'>[],
  mounts: readonly Mount[],
): KernelClaim[] {
  const members = btrfsMembers();
  const btrfs = devices.flatMap(({ name }): KernelClaim[] => {
    const uuid = members.get(name);
    if (uuid === undefined) return [];
    const mount = mounts.find(
      ({ fsType, source }) => fsType === 'btrfs' && members.get(source.replace(/^\/dev\//, '')) === uuid,
    );
    return [{ kind: 'btrfs', device: name, uuid, mount }];
  });
  const loops = [...loopBackings()].flatMap(([loop, path]): KernelClaim[] => {
    if (!path.startsWith('/dev/')) return [];
    const number = deviceNumber(path);
    const backing = devices.find(({ name, device }) => (number ? number === device : path === `/dev/${name}`));
    return backing ? [{ kind: 'loop', device: backing.name, loop }] : [];
  });
  return [...btrfs, ...loops];
}
