import { basename } from 'node:path';
import type { DeviceStatus } from '../../node/devices/status.ts';
import type { NodeStatus } from '../../node/status.ts';
import { ago, type Row } from '../table.ts';
import { podOf } from './holders.ts';

export function deviceRows(devices: readonly DeviceStatus[], now: Date): Row[] {
  if (devices.length === 0) return [];
  return [
    ['DEVICE', 'NUMBER', 'CLASS', 'ACCESS', 'USB', 'VENDOR', 'MODEL', 'SERIAL', 'PORT', 'SINCE', 'PATH'],
    ...devices.map((d) => [
      ...[d.device, d.number, d.class, d.access, d.usb, d.vendor, d.model, d.serial, d.port],
      ...[ago(d.since, now), d.path],
    ]),
  ];
}

/** Which containers have been given what; what those have that may open everything is not ours. */
export function accessRows(devices: readonly DeviceStatus[], now: Date): Row[] {
  const rows = devices.flatMap((device) =>
    device.containers
      .filter(({ state }) => state === 'granted')
      .map((container) => [
        device.device,
        device.class,
        device.access,
        container.pod ?? container.podUid ?? '',
        container.containerId?.slice(0, 12) ?? basename(container.cgroup),
        ago(container.since, now),
      ]),
  );
  return rows.length > 0 ? [['DEVICE', 'CLASS', 'ACCESS', 'POD', 'CONTAINER', 'SINCE'], ...rows] : [];
}

export const refusedRows = (devices: readonly DeviceStatus[]): Row[] =>
  devices.flatMap((device) =>
    device.containers
      .filter(({ state }) => state === 'refused' || state === 'waiting')
      .map(({ containerId, cgroup, state, reason, message, ...by }) => [
        device.device,
        podOf(by) ?? containerId?.slice(0, 12) ?? basename(cgroup),
        reason ?? state,
        message ?? '',
      ]),
  );

export function unclaimedRows(unclaimed: NodeStatus['unclaimed']): Row[] {
  if (unclaimed.length === 0) return [];
  return [
    ['DEVICE', 'USB', 'VENDOR', 'MODEL', 'PORT', 'TO MATCH IT IN A CLASS'],
    ...unclaimed.map((d) => [d.device, d.usb, d.vendor, d.model, d.path, d.match]),
  ];
}
