import { readFileSync } from 'node:fs';
import { readBlockDevice } from './block.ts';
import { createFileSystem } from './mounts.ts';
import { attribute } from './sysfs.ts';

/** debugfs, attached nowhere; undefined where the kernel has none, or is locked down. */
let figures: string | undefined | 'unknown' = 'unknown';

/**
 * Bytes that programs have written and that are not on the disk yet (`bdi_debug_stats_show` in the kernel's mm/backing-dev.c). Undefined
 * where the kernel does not tell.
 * @param name of the disk, or of a partition: the kernel counts for the whole disk
 */
export function dirtyBytes(name: string): number | undefined {
  const disk = readBlockDevice(name)?.disk;
  const number = disk && attribute(`/sys/class/block/${disk}`, 'dev');
  const root = openFigures();
  if (!number || root === undefined) return undefined;
  try {
    const text = readFileSync(`${root}/bdi/${number}/stats`, 'utf8');
    const [writeback, reclaimable] = ['BdiWriteback', 'BdiReclaimable'].map((key) =>
      Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]),
    ) as [number, number];
    return Number.isNaN(writeback + reclaimable) ? undefined : (writeback + reclaimable) * 1024;
  } catch {
    return undefined;
  }
}

function openFigures(): string | undefined {
  if (figures !== 'unknown') return figures;
  try {
    figures = `/proc/self/fd/${createFileSystem('debugfs', 'hotmount', {}, ['readOnly', 'noSuid', 'noDev', 'noExec'])}`;
  } catch {
    figures = undefined;
  }
  return figures;
}
