import type { MountedStatus } from '../../node/status.ts';
import { ago, type Row } from '../table.ts';

export function mountedRows(mounted: readonly MountedStatus[], now: Date): Row[] {
  if (mounted.length === 0) return [];
  return [
    ['DISK', 'CLASS', 'FS', 'LABEL', 'SIZE', 'FREE', 'NOT YET WRITTEN', 'SINCE', 'CONTAINERS', 'PATH'],
    ...mounted.map((m) => [
      ...[m.disk, m.class, m.fsType, m.label, bytes(m.space?.size), bytes(m.space?.free), bytes(m.space?.dirty)],
      ...[ago(m.since, now), String(m.containers), m.path],
    ]),
  ];
}

export const noteRows = (mounted: readonly MountedStatus[]): Row[] =>
  mounted.flatMap(({ disk, notes = [] }) => notes.map(({ reason, message }) => [disk, reason, message]));

/** `1.5 GiB`; empty where it is not known. */
function bytes(count: number | undefined): string {
  if (count === undefined) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, count < 1 ? 0 : Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** power;
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}
