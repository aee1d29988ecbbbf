import { readFileSync } from 'node:fs';
import { deviceNumber } from './device-number.ts';

/** The block devices (`major:minor`) that are in use as swap. Swap files are on file systems, and those are mounted. */
export function swapDevices(): Set<string> {
  const [, ...lines] = readFileSync('/proc/swaps', 'utf8').trim().split('\n');
  const devices = new Set<string>();
  for (const line of lines) {
    const [path = '', type] = line.split(/\s+/);
    if (type !== 'partition') continue;
    const device = deviceNumber(path.replace(/\\040/g, ' '));
    if (device) devices.add(device);
  }
  return devices;
}
