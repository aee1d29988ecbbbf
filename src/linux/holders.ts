import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

/** A process that holds something of a mount open. */
export interface Holder {
  readonly pid: number;
  /** Its name, as in `ps -o comm`. */
  readonly command: string;
  /** One path that it holds, as it sees it. */
  readonly path: string;
}

const O_PATH = 0o10000000;

/**
 * Who has files or directories open on one of these mounts (by mountinfo's mount id). It is the only name that a detached mount still
 * has: it is in no table any more, but `/proc/<pid>/fdinfo` names it. Touches no file system but procfs. Mappings are not looked at.
 * @param pids where to look
 */
export async function holdersOfMounts(mountIds: ReadonlySet<number>, pids: Iterable<number>): Promise<Holder[]> {
  const holders: Holder[] = [];
  for (const pid of pids) {
    const path = heldPath(pid, mountIds);
    if (path !== undefined) holders.push({ pid, command: commandOf(pid), path });
    // One process may have many thousands: others get their turn between two.
    await setImmediate();
  }
  return holders;
}

function heldPath(pid: number, mountIds: ReadonlySet<number>): string | undefined {
  try {
    for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
      if (mountIds.has(mountIdOf(`/proc/${pid}/fdinfo/${fd}`))) return readlinkSync(`/proc/${pid}/fd/${fd}`);
    }
    for (const link of ['cwd', 'root']) {
      const fd = openSync(`/proc/${pid}/${link}`, O_PATH);
      try {
        if (mountIds.has(mountIdOf(`/proc/self/fdinfo/${fd}`))) return readlinkSync(`/proc/${pid}/${link}`);
      } finally {
        closeSync(fd);
      }
    }
  } catch {
    // It has ended, or closed the file, while we looked.
  }
  return undefined;
}

const mountIdOf = (fdinfo: string): number => Number(/^mnt_id:\s*(\d+)$/m.exec(readFileSync(fdinfo, 'latin1'))?.[1]);

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
