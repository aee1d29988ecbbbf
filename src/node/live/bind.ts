import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { runChild } from '../../linux/child.ts';
import { errorCode, isUnreadableProcess } from '../../linux/errors.ts';
import { type Holder, holdersOfMounts } from '../../linux/holders.ts';
import { type Mount, readMountinfo } from '../../linux/mountinfo.ts';
import { attachMount, cloneMount, openBeneath, setMountAttributes } from '../../linux/mounts.ts';
import { detachIn } from '../../linux/namespace-entry.ts';
import { findMounts, type NamespaceMounts, namespaceOf, nodeNamespaces, processIds } from '../../linux/namespaces.ts';
import { renameMounted } from '../../linux/rename-mounted.ts';
import { patient } from '../../linux/slowness.ts';
import { type AskHolders, findHolders, type Held } from '../containers/held-reports.ts';
import { ensureDirectory, type RunDir } from '../run-dir/run-dir.ts';
import type { Bind } from './actual.ts';
import { LIVE, makePlace } from './directory.ts';

/** ms. They wait for nothing but the end of a file system whose last user a mount was. */
const DEADLINE = patient(5000);

/** How often a container's own copies are tried to be detached, ms apart. */
const DETACH_TRIES = 5;
const DETACH_PAUSE = 500;

/** The name under which a class is mounted and unmounted: pods see it only while its content is there. No class's name begins so. */
const hidden = (place: string): string => place.replace(/\/\.?/, '/.');

/**
 * Mounts a class directory, with the disks in it, in a pod's directory: every container that has that one sees it. It receives what is
 * mounted in the class later, and passes it on, but nothing goes back: to unmount it takes no disk away from others.
 * @throws SystemCallError
 */
export function bindClass(runDir: RunDir, podUid: string, place: string, source: string): void {
  const temporary = hidden(place);
  makePlace(runDir, podUid, temporary);
  // A class that has just come with the policy may not have its directory yet.
  ensureDirectory(runDir, source);
  const tree = cloneMount(`/proc/self/fd/${runDir.published}/${source}`, { recursive: true });
  try {
    // Where it is attached, the run dir is shared: the kernel makes it a slave and shared in one (attach_recursive_mnt in fs/namespace.c).
    setMountAttributes(tree, { propagation: 'slave', recursive: true });
    const target = openBeneath(runDir.published, `${LIVE}/${podUid}/${temporary}`);
    try {
      attachMount(tree, target);
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(tree);
  }
  renameMounted(workPath(runDir, podUid, temporary), workPath(runDir, podUid, place));
}

/** What became of a class that was taken away. */
export interface Taken {
  /** Who still has files or devices of it open. */
  readonly held: Held;
  /** Who still has. */
  readonly askHolders: AskHolders;
  /** Why it is not gone, where that is so. */
  readonly problem: string | undefined;
}

/** Takes a class away from every container of the pod at once. Who has files open keeps these, and is named. */
export async function unbindClass(runDir: RunDir, podUid: string, bind: Bind): Promise<Taken> {
  const copies = copiesOf(bind.mounts);
  const temporary = hide(runDir, podUid, bind.place);
  const problem = await unmount(runDir, podUid, temporary);
  const leftProblem = await detachLeft(copies);
  const askHolders: AskHolders = async (pids) => holdersOf(copies, pids ?? processesIn(copies));
  const held = await findHolders(askHolders);
  const placeProblem = await removePlace(runDir, podUid, temporary);
  return { held, askHolders, problem: problem ?? leftProblem ?? placeProblem };
}

/** Removes a directory on which nothing is mounted. @returns why it could not be */
export async function removePlace(runDir: RunDir, podUid: string, place: string): Promise<string | undefined> {
  // In a child, as what a container still has mounted there ends with it (`detach_mounts` in the kernel's fs/namespace.c).
  const path = workPath(runDir, podUid, place).slice(runDir.work.length + 1);
  const { code, stderr } = await runChild('rmdir', ['--', path], { deadline: DEADLINE, cwd: runDir.work });
  return code === 0 ? undefined : stderr.trim() || 'rmdir did not end';
}

/** @returns the place where it is now */
function hide(runDir: RunDir, podUid: string, place: string): string {
  const temporary = hidden(place);
  if (temporary === place) return place;
  try {
    renameMounted(workPath(runDir, podUid, place), workPath(runDir, podUid, temporary));
    return temporary;
  } catch (error) {
    // Something is left by that name: then it goes without being hidden.
    if (errorCode(error) !== 'EEXIST') throw error;
    return place;
  }
}

async function unmount(runDir: RunDir, podUid: string, place: string): Promise<string | undefined> {
  const path = `${runDir.path}/${LIVE}/${podUid}/${place}`;
  const { code, stderr } = await runChild('umount', ['-n', '-c', '-i', '-l', '--', path], { deadline: DEADLINE });
  return code === 0 ? undefined : stderr.trim() || 'umount did not end';
}

const workPath = (runDir: RunDir, podUid: string, place: string): string => `${runDir.work}/${LIVE}/${podUid}/${place}`;

/** What containers have of these mounts: theirs receive from ours, and are slaves of our peer groups (proc_pid_mountinfo(5)). */
function copiesOf(mounts: readonly Mount[]): NamespaceMounts[] {
  const node = nodeNamespaces();
  const groups = new Set(mounts.flatMap(({ shared }) => shared ?? []));
  const { namespaces } = findMounts(new Set(mounts.map(({ device }) => device)));
  return namespaces
    .filter(({ namespace }) => !node.has(namespace.id))
    .map(({ namespace, mounts }) => ({
      namespace,
      mounts: mounts.filter(({ master }) => master !== undefined && groups.has(master)),
    }))
    .filter(({ mounts }) => mounts.length > 0);
}

/**
 * Copies that a container made of its own go nowhere by themselves. Nothing tells of them later: so it is tried several times.
 * @returns why some may still be there
 */
async function detachLeft(copies: readonly NamespaceMounts[]): Promise<string | undefined> {
  const problems = await Promise.all(copies.map(detachCopies));
  const problem = problems.find((one) => one !== undefined);
  return problem && `a container keeps a copy of its own: ${problem}`;
}

async function detachCopies({ namespace, mounts }: NamespaceMounts): Promise<string | undefined> {
  // The kernel gives the id of a mount that has gone to the next one.
  const keyOf = ({ id, root }: Mount): string => `${id} ${root}`;
  const known = new Set(mounts.map(keyOf));
  for (let tries = 1; ; tries++) {
    let problem: Error | undefined;
    try {
      const left = mountsOf(namespace.pid).filter((mount) => known.has(keyOf(mount)));
      if (left.length === 0) return undefined;
      const { errors, hangs } = await detachIn(namespace, left);
      // Another visit would cost another thread.
      if (hangs) return errors[0]?.message;
      [problem] = errors;
    } catch (error) {
      problem = error as Error;
    }
    if (problem === undefined || tries === DETACH_TRIES) return problem?.message;
    await sleep(DETACH_PAUSE);
  }
}

function mountsOf(pid: number): Mount[] {
  try {
    return readMountinfo(pid);
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return [];
  }
}

async function holdersOf(copies: readonly NamespaceMounts[], pids: readonly number[]): Promise<Holder[]> {
  const mounts = copies.flatMap((copy) => copy.mounts);
  const ids = new Set(mounts.map(({ id }) => id));
  const found = new Map<number, Holder>();
  for (const device of new Set(mounts.map(({ device }) => device))) {
    const others = pids.filter((pid) => !found.has(pid));
    for (const holder of await holdersOfMounts(ids, device, others)) found.set(holder.pid, holder);
  }
  return [...found.values()];
}

/** Those that could reach it before. */
function processesIn(copies: readonly NamespaceMounts[]): number[] {
  const namespaces = new Set(copies.map(({ namespace }) => namespace.id));
  return processIds().filter((pid) => namespaces.has(namespaceOf(pid) ?? ''));
}
