import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { runChild } from './child.ts';
import { O_PATH } from './constants.ts';
import { isUnreadableProcess } from './errors.ts';
import { pathBytes } from './mountinfo.ts';
import { patient } from './slowness.ts';

/** A process that holds something of a file system. */
export interface Holder {
  readonly pid: number;
  /** Its name, as in `ps -o comm`. */
  readonly command: string;
  /** One path that it holds, as it sees it. */
  readonly path: string;
  /** A descriptor (or its working directory, or root), or a mapping into its memory, which outlives the descriptor. */
  readonly how: 'open' | 'mapped';
}

/**
 * Who has files or directories open on one of these mounts (by mountinfo's mount id), or files of the device mapped. The ids are the
 * only name that a detached mount still has: it is in no table any more, but `/proc/<pid>/fdinfo` names it. Touches no file system but procfs.
 * @param device `major:minor` of the file system
 * @param pids where to look
 * @throws Error of the system where a process cannot be looked at: it is not taken for one that holds nothing
 */
export async function holdersOfMounts(
  mountIds: ReadonlySet<number>,
  device: string,
  pids: readonly number[],
): Promise<Holder[]> {
  const holders: Holder[] = [];
  const others: number[] = [];
  for (const pid of pids) {
    const path = (await openPath(pid, mountIds)) ?? namedPath(pid, mountIds);
    if (path === undefined) others.push(pid);
    else holders.push({ pid, command: commandOf(pid), path, how: 'open' });
    await setImmediate();
  }
  const mapped = await mappedPaths(device, others);
  return [
    ...holders,
    ...mapped.map(({ pid, path }) => ({ pid, command: commandOf(pid), path, how: 'mapped' as const })),
  ];
}

/** ms */
const MAPS_DEADLINE = patient(2000);

/**
 * The first file of the device that each process has mapped. grep(1) reads the tables: one of a process that is waiting for the dead
 * disk in the middle of a change to its mappings cannot be read before that ends.
 */
async function mappedPaths(device: string, pids: readonly number[]): Promise<{ pid: number; path: string }[]> {
  if (pids.length === 0) return [];
  const [major, minor] = device.split(':').map((part) => Number(part).toString(16).padStart(2, '0'));
  // address permissions offset device inode path (proc_pid_maps(5))
  const pattern = `^[^ ]+ [^ ]+ [^ ]+ ${major}:${minor} `;
  const args = ['-sEH', '-m1', '--line-buffered', '-e', pattern, '--', ...pids.map((pid) => `/proc/${pid}/maps`)];
  const { stdout } = await runChild('grep', args, { deadline: MAPS_DEADLINE });
  return [...stdout.matchAll(/^\/proc\/(\d+)\/maps:(?:\S+ +){5}(.*)$/gm)].map(([, pid, path = '']) => ({
    pid: Number(pid),
    path: pathBytes(path).toString('utf8'),
  }));
}

/** Of one process, a million descriptors would take seconds: who has so many is found by another of them, or not at all. */
const MAX_DESCRIPTORS = 20_000;
/** Others get their turn after as many, which takes some ms. */
const DESCRIPTORS_A_TURN = 500;

/** The path of the first descriptor on one of these mounts. */
async function openPath(pid: number, mountIds: ReadonlySet<number>): Promise<string | undefined> {
  for (const [i, fd] of descriptorsOf(pid).slice(0, MAX_DESCRIPTORS).entries()) {
    if (i % DESCRIPTORS_A_TURN === DESCRIPTORS_A_TURN - 1) await setImmediate();
    try {
      if (mountIds.has(mountIdOf(`/proc/${pid}/fdinfo/${fd}`))) return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch (error) {
      // Closed meanwhile.
      if (!isUnreadableProcess(error)) throw error;
    }
  }
  return undefined;
}

function descriptorsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fdinfo`);
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return [];
  }
}

/**
 * The same of its working directory and root. To open these with `O_PATH` asks nothing of a disk or a server: a link of procfs leads to
 * the directory without a lookup, and of the few file systems that are asked whether it is still valid (`complete_walk` in fs/namei.c),
 * NFS asks its server only where a file is really opened.
 */
function namedPath(pid: number, mountIds: ReadonlySet<number>): string | undefined {
  for (const link of ['cwd', 'root']) {
    try {
      const fd = openSync(`/proc/${pid}/${link}`, O_PATH);
      try {
        if (mountIds.has(mountIdOf(`/proc/self/fdinfo/${fd}`))) return readlinkSync(`/proc/${pid}/${link}`);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      // It has ended meanwhile.
      if (!isUnreadableProcess(error)) throw error;
    }
  }
  return undefined;
}

const mountIdOf = (fdinfo: string): number => Number(/^mnt_id:\s*(\d+)$/m.exec(readFileSync(fdinfo, 'latin1'))?.[1]);

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    // Whatever the error is: a holder without a name is a holder all the same.
    return '';
  }
}
