import type { Actual, ActualNode } from './actual.ts';
import type { Desired, DesiredNode } from './desired.ts';

/** What has to be done below `devices`, in this order. */
export interface Plan {
  /** Nodes of devices that have gone or been replaced: access to them is taken back before anything is granted. */
  readonly removedNodes: readonly ActualNode[];
  readonly removedLinks: readonly string[];
  readonly made: readonly DesiredNode[];
  /** Owner or mode are not those of the class. */
  readonly adjusted: readonly DesiredNode[];
  readonly linked: readonly (readonly [path: string, target: string])[];
  /** Nodes that stay as they are, with what they are of. */
  readonly kept: ReadonlyMap<string, DesiredNode>;
}

/** Compares what is there with what should be. Pure. */
export function plan(desired: Desired, actual: Actual): Plan {
  const kept = new Map<string, DesiredNode>();
  for (const [path, node] of desired.nodes) if (isOf(actual.nodes.get(path), node)) kept.set(path, node);
  return {
    kept,
    removedNodes: [...actual.nodes.values()].filter(({ path }) => !kept.has(path)),
    removedLinks: [...actual.links.keys()].filter((path) => !desired.links.has(path)),
    made: [...desired.nodes.values()].filter(({ path }) => !kept.has(path)),
    adjusted: [...kept.values()].filter((node) => !hasAccessOf(actual.nodes.get(node.path), node)),
    linked: [...desired.links].filter(([path, target]) => actual.links.get(path) !== target),
  };
}

const isOf = (actual: ActualNode | undefined, { device }: DesiredNode): boolean =>
  actual?.type === device.type &&
  actual.major === device.major &&
  actual.minor === device.minor &&
  actual.record?.identity === device.identity;

const hasAccessOf = (actual: ActualNode | undefined, { deviceClass: { mode, uid, gid } }: DesiredNode): boolean =>
  actual?.mode === mode && actual.uid === uid && actual.gid === gid;
