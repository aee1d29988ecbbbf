import type { Device } from '../../linux/device.ts';
import type { DeviceClass } from '../../policy/index.ts';
import type { Use } from '../media/desired.ts';
import { type Finding, finding, type NodeReason } from '../reasons.ts';
import { classesOf } from './match.ts';

export interface DeviceCircumstances {
  readonly classes: readonly DeviceClass[];
  /** Disks up to this sequence number were there before hotmount was. */
  readonly bootSequence: number;
  readonly properties: ReadonlyMap<string, string>;
  /** Asked for only where it matters. */
  readonly use: () => Use | 'unclear' | undefined;
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

/** Of devices that somebody else uses, or may use, outside of what this process hears of. */
const UNHEARD: readonly NodeReason[] = ['in_use_by_container', 'unclear_whether_in_use'];
const USES: readonly NodeReason[] = ['in_use_by_node', 'in_use_as_swap', 'built_on', ...UNHEARD];

/** Whether no event says when it ends. */
export const endsUnheard = ({ reason }: Pick<Finding, 'reason'>): boolean => UNHEARD.includes(reason);

/** Whether it turns on what the device is used for, and by that on other disks and on mounts. */
export const turnsOnUse = (judgement: Judgement): boolean =>
  judgement.kind === 'taken' || (judgement.finding !== undefined && USES.includes(judgement.finding.reason));

function inUse(use: Use | 'unclear'): Finding {
  if (use === 'unclear') return finding('unclear_whether_in_use', {});
  if (use.kind === 'swap') return finding('in_use_as_swap', { device: use.device });
  if (use.kind === 'holders') return finding('built_on', { holders: use.holders.join(', ') });
  const { device, path, pid } = use;
  if (pid === undefined) return finding('in_use_by_node', { device, path });
  return finding('in_use_by_container', { device, path, pid: String(pid) });
}
