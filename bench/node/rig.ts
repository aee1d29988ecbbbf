import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { LoopDisk } from '../../test/system/support/disks.ts';
import { type Rig, run } from '../../test/system/support/rig.ts';

/** Says so and ends, where a benchmark of the node cannot run here. */
export function requireRoot(...programs: string[]): void {
  const missing = programs.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
  if (process.platform === 'linux' && process.getuid?.() === 0 && missing.length === 0) return;
  process.stdout.write(`left out: it takes Linux, root${missing.map((name) => ` and ${name}`).join('')}\n`);
  process.exit();
}

/** A loop device with a file system in what will be its first partition: `addpart` makes the kernel announce it. */
export function diskWithPartition(
  rig: Rig,
  label: string,
): { device: string; partition: string; add: string[]; remove: string[] } {
  const disk = new LoopDisk(rig, { fsType: 'none', size: 10 });
  run('mkfs.ext4', '-q', '-F', '-E', 'offset=1048576,nodiscard', '-U', rig.uuid(), '-L', label, disk.image, '8M');
  disk.plug();
  const device = disk.device as string;
  rig.onClose('disk', () => spawnSync('delpart', [device, '1']));
  return {
    device,
    partition: `${device}p1`,
    add: ['addpart', device, '1', '2048', '16384'],
    remove: ['delpart', device, '1'],
  };
}

const nap = new Int32Array(new SharedArrayBuffer(4));

/** Looks every tenth of a millisecond; ms from `start` until it is there, or no longer is. */
export function timeUntil(start: number, path: string, isThere = true): number {
  while (existsSync(path) !== isThere) {
    if (performance.now() - start > 10_000) throw new Error(`not within 10 s: ${path}`);
    Atomics.wait(nap, 0, 0, 0.1);
  }
  return performance.now() - start;
}
