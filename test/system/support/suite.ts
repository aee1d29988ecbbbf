import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describeUnless } from '../../describe-unless.ts';
import { hasTaps } from './tap.ts';

export { SOAK } from '../../settings.ts';

/** What a suite needs besides root on Linux: programs, by their names, and what of the kernel not every machine has. */
export type Need = 'zram' | 'macvtap' | (string & {});

/** A suite against the real kernel. */
export function describeSystem(name: string, needs: readonly Need[], body: () => void): void {
  describeUnless(whyNot(needs), name, body);
}

function whyNot(needs: readonly Need[]): string | undefined {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'it takes root';
  for (const need of ['losetup', 'blkid', 'mkfs.ext4', ...needs]) {
    if (need === 'zram') {
      if (!existsSync('/sys/class/zram-control/hot_add')) return 'the kernel has no zram';
    } else if (need === 'macvtap') {
      if (!hasTaps()) return 'the kernel has no macvtap, or iproute2 is not installed';
    } else if (spawnSync('sh', ['-c', `command -v ${need}`]).status !== 0) {
      return `${need} is not installed`;
    }
  }
  return undefined;
}
