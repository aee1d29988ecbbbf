import { Option } from 'commander';
import { VOLUME_KINDS } from '../contract/volumes.ts';
import { LOG_LEVELS } from '../observability/log-levels.ts';
import { UsageError } from './fail.ts';

/** A whole number, of nine digits at most. Throws UsageError. */
export function readNumber(option: string, text: string, { min = 0, max }: { min?: number; max: number }): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw new UsageError(`${option} ${text}: expected a whole number from ${min} to ${max}`);
}

/** A TCP port; 0 is any free one. Throws UsageError. */
export const readPort = (option: string, text: string): number => readNumber(option, text, { max: 65_535 });

export const logLevelOption = (): Option =>
  new Option('--log-level <level>', 'log this level and above').choices(LOG_LEVELS).default('info');

/** How volumes are written that are injected. */
export const volumesOption = (): Option =>
  new Option('--volumes <kind>', 'inject CSI volumes, or hostPath volumes for nodes without the CSI driver')
    .choices(VOLUME_KINDS)
    .default('csi');
