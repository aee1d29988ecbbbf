import { accessSync, constants, mkdirSync, rmSync } from 'node:fs';
import { type DeviceRule, deviceKey } from '../../../src/linux/device-cgroup/rule.ts';
import { libc } from '../../../src/linux/libc.ts';

/**
 * The process that asks, in the cgroup into which it was put. access(2) asks the kernel just what open(2) does (`inode_permission`), and
 * leaves the driver alone, if there is any; mknod(2) asks for itself.
 */
export type Access = DeviceRule['access'] | 'm';

export interface Question extends Pick<DeviceRule, 'type' | 'major' | 'minor'> {
  readonly access: Access;
}

const MODE = { char: 0o020000, block: 0o060000 };
const MASK = { r: constants.R_OK, w: constants.W_OK, rw: constants.R_OK | constants.W_OK };

/** Where the node of a device is, for all who ask. */
export const nodePath = (nodes: string, device: Pick<DeviceRule, 'type' | 'major' | 'minor'>): string =>
  `${nodes}/${deviceKey(device).replace(/[ :]/g, '-')}`;

/** @throws Error */
export function makeNode(path: string, { type, major, minor }: Pick<DeviceRule, 'type' | 'major' | 'minor'>): boolean {
  const device = (BigInt(major) << 8n) | BigInt(minor & 0xff) | (BigInt(minor & ~0xff) << 12n);
  return libc.mknod(path, MODE[type] | 0o666, device) === 0;
}

function isAllowed(nodes: string, question: Question): boolean {
  if (question.access === 'm') {
    const path = `${nodes}/asked-by-${process.pid}`;
    const made = makeNode(path, question);
    rmSync(path, { force: true });
    return made;
  }
  try {
    accessSync(nodePath(nodes, question), MASK[question.access]);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPERM') return false;
    throw error;
  }
}

const [nodes] = process.argv.slice(2);
if (process.send && nodes !== undefined) {
  mkdirSync(nodes, { recursive: true });
  process.on('message', (questions: Question[]) => {
    process.send?.(questions.map((question) => isAllowed(nodes, question)));
  });
}
