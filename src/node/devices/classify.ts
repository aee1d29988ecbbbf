import type { Device } from '../../linux/device.ts';
import type { DeviceClass } from '../../policy/index.ts';
import { OPEN_DEADLINE } from '../block/exclusive-opener.ts';
import { isFixed } from '../block/match.ts';
import type { DiskUse } from '../containers/disk-usage.ts';
import { type Finding, finding, type NodeReason } from '../reasons.ts';
import { classesOf } from './match.ts';

export interface DeviceFacts {
  readonly classes: readonly DeviceClass[];
  /** Disks up to this sequence number were there before hotmount was. */
  readonly bootSequence: number;
  readonly properties: ReadonlyMap<string, string>;
  /** Asked for only where it matters. */
  readonly use: () => DiskUse | 'unclear' | 'asking' | undefined;
}

/** `rejected`: no class takes it, and `finding` says why where one nearly did. */
export type Classification =
  | { readonly kind: 'matched'; readonly classes: readonly DeviceClass[] }
  | { readonly kind: 'rejected'; readonly finding: Finding | undefined };

/**
 * Which classes a device is in. A partition is a device of its own, with the bus, vendor, model and serial number of its disk: a class
 * that means one and not the other says so by `devname`. Disks that the node uses are in no class, whatever the policy says. Pure.
 */
export function classify(device: Device, { classes, bootSequence, properties, use }: DeviceFacts): Classification {
  const { block } = device;
  const fixed = block !== undefined && isFixed(block, bootSequence);
  const matching = classesOf(classes, device, { isFixed: fixed, properties });
  const [first] = matching.length > 0 ? matching : classesOf(classes, device, { isFixed: false, properties });
  if (!first) return { kind: 'rejected', finding: undefined };
  if (matching.length === 0) return reject(finding('fixed_device', { class: first.name }));
  if (block?.size === 0) return reject(finding('no_medium', {}));
  const used = block && use();
  return used ? reject(inUse(used)) : { kind: 'matched', classes: matching };
}

const reject = (found: Finding): Classification => ({ kind: 'rejected', finding: found });

/** Somebody else uses the device, or may: this process gets no event when that ends. */
const WITHOUT_EVENT: readonly NodeReason[] = [
  'in_use_by_container',
  'in_use_as_swap',
  'built_on',
  'in_use_by_btrfs',
  'in_use_by_loop_device',
  'in_use_exclusively',
  'unclear_whether_in_use',
  'device_hangs',
];
const USES: readonly NodeReason[] = ['in_use_by_node', 'being_asked', ...WITHOUT_EVENT];

/** Whether it ends without an event. */
export const endsWithoutEvent = ({ reason }: Pick<Finding, 'reason'>): boolean => WITHOUT_EVENT.includes(reason);

/** Whether it depends on what the device is used for, and by that on other disks and on mounts. */
export const dependsOnUse = (classification: Classification): boolean =>
  classification.kind === 'matched' ||
  (classification.finding !== undefined && USES.includes(classification.finding.reason));

function inUse(use: DiskUse | 'unclear' | 'asking'): Finding {
  if (use === 'asking') return finding('being_asked', {});
  if (use === 'unclear') return finding('unclear_whether_in_use', {});
  if (use.kind === 'swap') return finding('in_use_as_swap', { device: use.device });
  if (use.kind === 'holders') return finding('built_on', { holders: use.holders.join(', ') });
  if (use.kind === 'btrfs') return finding('in_use_by_btrfs', { device: use.device, uuid: use.uuid });
  if (use.kind === 'loop') return finding('in_use_by_loop_device', { device: use.device, loop: use.loop });
  if (use.kind === 'held') return finding('in_use_exclusively', {});
  if (use.kind === 'hangs') return finding('device_hangs', { command: 'open', seconds: String(OPEN_DEADLINE / 1000) });
  const { device, path, pid } = use;
  if (pid === undefined) return finding('in_use_by_node', { device, path });
  return finding('in_use_by_container', { device, path, pid: String(pid) });
}
