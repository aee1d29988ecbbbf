import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { readMountinfo } from '../../../src/linux/mountinfo.ts';
import { type Rig, until } from '../support/rig.ts';

/** An lxcfs that is none of ours, as LXD has it, for instance. */
export async function startLxcfs(rig: Rig): Promise<{ path: string; child: ChildProcess }> {
  const path = rig.path('foreign');
  mkdirSync(path);
  const child = spawn('lxcfs', ['-p', rig.path('foreign.pid'), '-o', 'allow_other', path], { stdio: 'ignore' });
  rig.onClose('process', () => child.kill('SIGKILL'));
  await until('the other lxcfs is mounted', () => readMountinfo().some(({ mountPoint }) => mountPoint === path));
  return { path, child };
}
