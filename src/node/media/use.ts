import type { BlockDevice } from '../../linux/block.ts';
import { readBlockDevice } from '../../linux/block.ts';
import { type Mount, readMountinfo } from '../../linux/mountinfo.ts';
import { findMounts, namespaceOf } from '../../linux/namespaces.ts';
import { swapDevices } from '../../linux/swaps.ts';
import type { Use } from './decide.ts';

/**
 * What a disk that we have not mounted is used for on the node. Where one partition carries a file system of the node, swap, or
 * something built on it, the whole disk is the node's: its other partitions are left alone too.
 * @param except mounts below this directory do not count
 */
export function useByNode(device: BlockDevice, except?: string): Use | undefined {
  const family = familyOf(device);
  const holders = [device, ...family.filter(({ name }) => name === device.disk)].flatMap((member) => member.holders);
  if (holders.length > 0) return { kind: 'holders', holders };

  const swaps = swapDevices();
  const swap = family.find((member) => swaps.has(member.device));
  if (swap) return { kind: 'swap', device: swap.name };

  const isElsewhere = (mount: Mount): boolean => except === undefined || !mount.mountPoint.startsWith(`${except}/`);
  const tables = namespaceOf('self') === namespaceOf(1) ? (['self'] as const) : (['self', 1] as const);
  for (const mounts of tables.map((pid) => tableOf(pid).filter(isElsewhere))) {
    for (const member of family) {
      const mount = mounts.find((candidate) => names(candidate, member));
      if (mount) return { kind: 'mounted', device: member.name, path: mount.mountPoint };
    }
  }
  return undefined;
}

/** Who has it mounted in another namespace. Ours is not mounted: they have it from elsewhere. Takes milliseconds on a busy node. */
export const useInContainers = (device: BlockDevice): Use | undefined => findUse([device]).use;

/**
 * The same of a whole disk with its partitions, any of which may be given to somebody raw.
 * @returns with `complete` false where no use was found and there may be one all the same
 */
export const useOfFamilyInContainers = (
  device: BlockDevice,
): { readonly use: Use | undefined; readonly complete: boolean } => findUse(familyOf(device));

function findUse(members: readonly BlockDevice[]): { use: Use | undefined; complete: boolean } {
  const { namespaces, complete } = findMounts(members.flatMap(({ device, name }) => [device, `/dev/${name}`]));
  const [other] = namespaces;
  const mount = other?.mounts[0];
  if (!other || !mount) return { use: undefined, complete };
  const device = members.find((member) => names(mount, member))?.name ?? '';
  return { use: { kind: 'mounted', device, path: mount.mountPoint, pid: other.namespace.pid }, complete };
}

/** The disk, its partitions, and what is built on them, from bottom to top. */
function familyOf(device: BlockDevice): BlockDevice[] {
  const family = new Map([[device.name, device]]);
  const add = (name: string): void => {
    const member = family.has(name) ? undefined : readBlockDevice(name);
    if (!member) return;
    family.set(name, member);
    for (const next of [...member.partitions, ...member.holders]) add(next);
  };
  for (const name of [device.disk, ...device.partitions, ...device.holders]) add(name);
  return [...family.values()];
}

/** By number, or, for file systems with an anonymous one such as btrfs, by the source. */
const names = (mount: Mount, device: BlockDevice): boolean =>
  mount.device === device.device || (mount.device.startsWith('0:') && mount.source === `/dev/${device.name}`);

function tableOf(pid: 'self' | 1): Mount[] {
  try {
    return readMountinfo(pid);
  } catch {
    return [];
  }
}
