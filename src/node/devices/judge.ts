import type { Device } from '../../linux/device.ts';
import type { DeviceClass } from '../../policy/index.ts';
import type { Use } from '../media/decide.ts';
import { type Finding, finding } from '../reasons.ts';
import { classesOf } from './match.ts';

export interface DeviceCircumstances {
  readonly classes: readonly DeviceClass[];
  /** Disks up to this sequence number were there before hotmount was. */
  readonly bootSequence: number;
  readonly properties: ReadonlyMap<string, string>;
  /** Asked for only where it matters. */
  readonly use: () => Use | undefined;
}

/** `left`: no class takes it, and `finding` says why where one nearly did. */
export type Judgement =
  | { readonly kind: 'taken'; readonly classes: readonly DeviceClass[] }
  | { readonly kind: 'left'; readonly finding: Finding | undefined };

/**
 * Which classes a device is in. A partition is a device of its own, with the bus, vendor, model and serial number of its disk: a class
 * that means one and not the other says so by `devname`. Disks that the node uses are in no class, whatever the policy says. Pure.
 */
export function judge(device: Device, { classes, bootSequence, properties, use }: DeviceCircumstances): Judgement {
  const { block } = device;
  const isFixed = block !== undefined && !block.removable && block.diskSequence <= bootSequence;
  const taking = classesOf(classes, device, { isFixed, properties });
  const [first] = taking.length > 0 ? taking : classesOf(classes, device, { isFixed: false, properties });
  if (!first) return { kind: 'left', finding: undefined };
  if (taking.length === 0) return left(finding('fixed_device', { class: first.name }));
  if (block?.size === 0) return left(finding('no_medium', {}));
  const used = block && use();
  return used ? left(inUse(used)) : { kind: 'taken', classes: taking };
}

const left = (found: Finding): Judgement => ({ kind: 'left', finding: found });

/** The reasons of devices that somebody else uses. */
export const USES = ['in_use_by_node', 'in_use_as_swap', 'built_on'] as const;

function inUse(use: Use): Finding {
  if (use.kind === 'swap') return finding('in_use_as_swap', { device: use.device });
  if (use.kind === 'holders') return finding('built_on', { holders: use.holders.join(', ') });
  const where = use.pid === undefined ? '' : ` in the mount namespace of process ${use.pid}`;
  return finding('in_use_by_node', { device: use.device, path: use.path, where });
}
