import { type BlockDevice, readBlockDevice } from '../../linux/block.ts';
import { isUnreadableProcess } from '../../linux/errors.ts';
import { type KernelClaim, kernelClaimsOn } from '../../linux/kernel-claims.ts';
import { type Mount, readMountinfo } from '../../linux/mountinfo.ts';
import { findMounts, type NamespaceMounts, namespaceOf } from '../../linux/namespaces.ts';
import { swapDevices } from '../../linux/swaps.ts';

/** What a disk is used for already, by others than hotmount. */
export type DiskUse =
  | { readonly kind: 'mounted'; readonly device: string; readonly path: string; readonly pid?: number }
  | { readonly kind: 'swap'; readonly device: string }
  | { readonly kind: 'holders'; readonly holders: readonly string[] }
  | KernelClaim
  /** Somebody holds it exclusively, and nothing says who. */
  | { readonly kind: 'held' }
  /** To open it, which would tell, does not end. */
  | { readonly kind: 'hangs' };

/**
 * What a disk that we have not mounted is used for on the node. Where one partition carries a file system of the node, swap, or
 * something built on it, the whole disk is the node's: its other partitions are left alone too.
 * @param except mounts below this directory do not count
 */
export function usageByNode(device: BlockDevice, except?: string): DiskUse | undefined {
  const family = familyOf(device);
  const holders = [device, ...family.filter(({ name }) => name === device.disk)].flatMap((member) => member.holders);
  if (holders.length > 0) return { kind: 'holders', holders: [...new Set(holders)] };

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
  // Also of the mounts that do not count: a btrfs of ours is mounted once, by one of its members.
  return kernelClaimsOn(family, tables.flatMap(tableOf)).find(
    (claim) =>
      claim.device === device.name ||
      (claim.kind === 'loop' ? claim.device === device.disk : claim.mount === undefined || isElsewhere(claim.mount)),
  );
}

/**
 * Who has a disk mounted in another namespace, when hotmount has not mounted it. The search takes milliseconds on a busy
 * node, for one disk as for a hundred: what is asked in one turn of the event loop is searched for together.
 */
export class ContainerUsage {
  readonly #asked: { readonly device: BlockDevice; readonly answer: PromiseWithResolvers<DiskUse | undefined> }[] = [];

  /** Rejects where processes cannot be read. */
  of(device: BlockDevice): Promise<DiskUse | undefined> {
    const answer = Promise.withResolvers<DiskUse | undefined>();
    this.#asked.push({ device, answer });
    if (this.#asked.length === 1) setImmediate(() => this.#answer());
    return answer.promise;
  }

  #answer(): void {
    const asked = this.#asked.splice(0);
    try {
      const { namespaces } = findMounts(asked.flatMap(({ device }) => searchedFor(device)));
      for (const { device, answer } of asked) answer.resolve(useBy(namespaces, [device]));
    } catch (error) {
      for (const { answer } of asked) answer.reject(error);
    }
  }
}

/**
 * The same for a whole disk with its partitions, before one of them is given to somebody raw; searches at once.
 * @returns with `complete` false where none was found, but one may have been missed
 */
export function usageOfFamilyInContainers(device: BlockDevice): {
  readonly use: DiskUse | undefined;
  readonly complete: boolean;
} {
  const family = familyOf(device);
  const { namespaces, complete } = findMounts(family.flatMap(searchedFor));
  return { use: useBy(namespaces, family), complete };
}

/** A file system with a number of its own, such as btrfs, is found by its source. */
const searchedFor = ({ device, name }: BlockDevice): string[] => [device, `/dev/${name}`];

function useBy(namespaces: readonly NamespaceMounts[], members: readonly BlockDevice[]): DiskUse | undefined {
  for (const { namespace, mounts } of namespaces) {
    for (const mount of mounts) {
      const member = members.find((candidate) => names(mount, candidate));
      if (member) return { kind: 'mounted', device: member.name, path: mount.mountPoint, pid: namespace.pid };
    }
  }
  return undefined;
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
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return [];
  }
}
