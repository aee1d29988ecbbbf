import { readFileSync } from 'node:fs';
import { type Mount, parseMountinfo } from '../../linux/mountinfo.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { LIVE } from './directory.ts';

/** A class directory that is mounted in a live directory. */
export interface Bind {
  /** `media/usb`; `media/.usb` while it is being made or taken away. */
  readonly place: string;
  /** The directory of the run dir that is mounted: `media/usb`, `media-ro/usb`. */
  readonly source: string;
  /** The mount itself, and what is mounted below it: a mount more for each disk. */
  readonly mounts: readonly Mount[];
}

/** What is mounted in the live directories now, by the pod's UID. */
export function readBinds(runDir: RunDir): Map<string, Bind[]> {
  const text = readFileSync('/proc/self/mountinfo', 'latin1');
  // The table is long on a busy node, and few of its lines are about this.
  const lines = text.split('\n').filter((line) => line.includes(`/${LIVE}/`));
  return bindsIn(parseMountinfo(lines.join('\n')), runDir.path, runDir.device);
}

/** Pure. */
export function bindsIn(mounts: readonly Mount[], runDir: string, device: string): Map<string, Bind[]> {
  const root = `${runDir}/${LIVE}/`;
  const binds = new Map<string, Bind[]>();
  for (const mount of mounts) {
    if (mount.device !== device || !mount.mountPoint.startsWith(root)) continue;
    const [podUid = '', kind, name, ...more] = mount.mountPoint.slice(root.length).split('/');
    if (!kind || !name || more.length > 0) continue;
    const below = mounts.filter(({ mountPoint }) => mountPoint.startsWith(`${mount.mountPoint}/`));
    const bind = { place: `${kind}/${name}`, source: mount.root.slice(1), mounts: [mount, ...below] };
    binds.set(podUid, [...(binds.get(podUid) ?? []), bind]);
  }
  return binds;
}
