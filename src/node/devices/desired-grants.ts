import type { DeviceCgroup, DeviceRule, WantedGrant } from '../../linux/device-cgroup/index.ts';
import type { MountingContainer } from './containers.ts';
import type { DesiredNode } from './desired.ts';

/** What one container may do with one device, and by which of its classes. */
export interface DesiredGrant {
  readonly cgroup: string;
  readonly node: DesiredNode;
  /** The cgroups that have the class instead: it waits for one of them to end. Undefined: it may have the device. */
  readonly waitsFor?: readonly string[];
}

/**
 * What containers should be able to open: each present device of each class that they mount, with the class's access. A cgroup with
 * several containers gets what all of them have together: the kernel does not tell them apart. Of a class with `maxContainers`, those that were made
 * first have it. Pure.
 * @param madeAt tells which of two cgroups was made first
 */
export function desireGrants(
  mounters: Iterable<Pick<MountingContainer, 'classes' | 'cgroups'>>,
  nodes: Iterable<DesiredNode>,
  madeAt: (cgroup: string) => bigint = () => 0n,
): { readonly rules: readonly WantedGrant[]; readonly grants: readonly DesiredGrant[] } {
  const byClass = Map.groupBy(nodes, ({ deviceClass }) => deviceClass.name);
  const byCgroup = new Map<string, { readonly cgroup: DeviceCgroup; readonly nodes: Set<DesiredNode> }>();
  for (const { classes, cgroups } of mounters) {
    const mounted = [...classes].flatMap((name) => byClass.get(name) ?? []);
    if (mounted.length === 0) continue;
    for (const [path, cgroup] of cgroups) {
      const nodes = byCgroup.get(path)?.nodes ?? new Set();
      byCgroup.set(path, { cgroup, nodes: nodes.union(new Set(mounted)) });
    }
  }
  const all = [...byCgroup].flatMap(([cgroup, { nodes }]) => [...nodes].map((node) => ({ cgroup, node })));
  const grants = withLimits(all, madeAt);
  const isWaiting = new Set(
    grants.filter(({ waitsFor }) => waitsFor).map(({ cgroup, node }) => `${cgroup} ${node.path}`),
  );
  return {
    rules: [...byCgroup].map(([path, { cgroup, nodes }]) => ({
      cgroup,
      rules: [...nodes].filter((node) => !isWaiting.has(`${path} ${node.path}`)).map(ruleFor),
    })),
    grants,
  };
}

function withLimits(grants: readonly DesiredGrant[], madeAt: (cgroup: string) => bigint): readonly DesiredGrant[] {
  const limited = grants.filter(({ node }) => node.deviceClass.maxContainers !== undefined);
  if (limited.length === 0) return grants;
  const holders = new Map<string, readonly string[]>();
  for (const [name, members] of Map.groupBy(limited, ({ node }) => node.deviceClass.name)) {
    const cgroups = [...new Set(members.map(({ cgroup }) => cgroup))].map((path) => ({ path, made: madeAt(path) }));
    cgroups.sort((a, b) => (a.made === b.made ? (a.path < b.path ? -1 : 1) : a.made < b.made ? -1 : 1));
    holders.set(
      name,
      cgroups.slice(0, members[0]?.node.deviceClass.maxContainers).map(({ path }) => path),
    );
  }
  return grants.map((grant) => {
    const having = holders.get(grant.node.deviceClass.name);
    return having === undefined || having.includes(grant.cgroup) ? grant : { ...grant, waitsFor: having };
  });
}

const ruleFor = ({ device: { type, major, minor }, deviceClass: { access } }: DesiredNode): DeviceRule => ({
  type,
  major,
  minor,
  access,
});
