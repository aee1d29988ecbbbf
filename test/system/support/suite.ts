import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, it } from 'vitest';

/** What a suite needs besides root on Linux. */
export type Need = 'zram' | 'runc' | (string & {});

/**
 * A suite against the real kernel. Where it cannot run, it says why instead of passing; with HOTMOUNT_REQUIRE_SYSTEM=1 it fails.
 * @param needs programs, by their names, and `zram`
 */
export function describeSystem(name: string, needs: readonly Need[], body: () => void): void {
  const reason = whyNot(needs);
  if (reason === undefined) {
    describe(name, body);
  } else if (process.env['HOTMOUNT_REQUIRE_SYSTEM'] === '1') {
    it(name, () => {
      throw new Error(`cannot run: ${reason}`);
    });
  } else {
    describe.skip(`${name} (skipped, because ${reason})`, body);
  }
}

/** True where the big repetitions count. */
export const SOAK = process.env['HOTMOUNT_SOAK'] === '1';

function whyNot(needs: readonly Need[]): string | undefined {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'it takes root';
  for (const need of ['losetup', 'blkid', 'mkfs.ext4', ...needs]) {
    if (need === 'zram') {
      if (!existsSync('/sys/class/zram-control/hot_add')) return 'the kernel has no zram';
    } else if (spawnSync('sh', ['-c', `command -v ${need}`]).status !== 0) {
      return `${need} is not installed`;
    }
  }
  return undefined;
}
