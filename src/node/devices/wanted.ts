import type { DeviceRule, WantedGrant } from '../../linux/device-cgroup/index.ts';
import type { Mounter } from './containers.ts';
import type { DesiredNode } from './desired.ts';

/** What one container may do with one device, and by which of its classes. */
export interface Entitlement {
  readonly cgroup: string;
  readonly node: DesiredNode;
}

/**
 * What containers should be able to open: each present device of each class that they mount, with the class's access. A cgroup in which
 * several containers are gets what all of them have together: the kernel does not tell them apart. Pure.
 */
export function want(
  mounters: Iterable<Pick<Mounter, 'classes' | 'cgroups'>>,
  nodes: Iterable<DesiredNode>,
): { readonly grants: readonly WantedGrant[]; readonly entitlements: readonly Entitlement[] } {
  const byClass = Map.groupBy(nodes, ({ deviceClass }) => deviceClass.name);
  const byCgroup = new Map<string, { grant: WantedGrant; nodes: Set<DesiredNode>; rules: DeviceRule[] }>();
  for (const { classes, cgroups } of mounters) {
    const mounted = [...classes].flatMap((name) => byClass.get(name) ?? []);
    if (mounted.length === 0) continue;
    for (const [path, cgroup] of cgroups) {
      const entry = byCgroup.get(path) ?? newEntry(cgroup);
      byCgroup.set(path, entry);
      for (const node of mounted) entry.nodes.add(node);
    }
  }
  for (const { nodes: taken, rules } of byCgroup.values()) rules.push(...[...taken].map(ruleFor));
  return {
    grants: [...byCgroup.values()].map(({ grant }) => grant),
    entitlements: [...byCgroup].flatMap(([cgroup, entry]) => [...entry.nodes].map((node) => ({ cgroup, node }))),
  };
}

function newEntry(cgroup: WantedGrant['cgroup']) {
  const rules: DeviceRule[] = [];
  return { grant: { cgroup, rules }, nodes: new Set<DesiredNode>(), rules };
}

const ruleFor = ({ device: { type, major, minor }, deviceClass: { access } }: DesiredNode): DeviceRule => ({
  type,
  major,
  minor,
  access,
});
