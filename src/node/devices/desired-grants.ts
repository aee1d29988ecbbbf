import type { DeviceCgroup, DeviceRule, WantedGrant } from '../../linux/device-cgroup/index.ts';
import type { MountingContainer } from './containers.ts';
import type { DesiredNode } from './desired.ts';

/** What one container may do with one device, and by which of its classes. */
export interface DesiredGrant {
  readonly cgroup: string;
  readonly node: DesiredNode;
}

/**
 * What containers should be able to open: each present device of each class that they mount, with the class's access. A cgroup with
 * several containers gets what all of them have together: the kernel does not tell them apart. Pure.
 */
export function desireGrants(
  mounters: Iterable<Pick<MountingContainer, 'classes' | 'cgroups'>>,
  nodes: Iterable<DesiredNode>,
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
  return {
    rules: [...byCgroup.values()].map(({ cgroup, nodes }) => ({ cgroup, rules: [...nodes].map(ruleFor) })),
    grants: [...byCgroup].flatMap(([cgroup, { nodes }]) => [...nodes].map((node) => ({ cgroup, node }))),
  };
}

const ruleFor = ({ device: { type, major, minor }, deviceClass: { access } }: DesiredNode): DeviceRule => ({
  type,
  major,
  minor,
  access,
});
