import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { followChild, launchChild } from './child.ts';
import { composeIds, type IdLine, type IdMapping } from './id-mapping.ts';
import { patient } from './slowness.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** This node has no user namespaces for this daemon, and will have none until somebody configures it otherwise. */
export class NoUserNamespacesError extends Error {}

/** ms that the child may take to make it. */
const DEADLINE = patient(5000);
/** There is one id less than numbers: -1 is none. */
const MAX_ID = 2 ** 32 - 1;

/**
 * Descriptors on user namespaces that lead nowhere: all they are for is the ids that an idmapped mount takes from them. One for each owner,
 * kept for good.
 */
const namespaces = new Map<string, Promise<number>>();

/**
 * A user namespace in which root and the owner have changed places, and everybody else is who they are: to it, the files of the disk's root
 * belong to the owner, and what the owner makes belongs to the disk's root. No id is left without another, for those could write nothing.
 * @returns a descriptor, the same one each time; not to be closed
 * @throws NoUserNamespacesError; any other error is of the moment
 */
export function ownerNamespace({ uid, gid }: Owner): Promise<number> {
  const key = `${uid}:${gid}`;
  const known = namespaces.get(key) ?? make(swapWithRoot(uid), swapWithRoot(gid));
  namespaces.set(key, known);
  // It is tried again with the next disk.
  known.catch(() => namespaces.delete(key));
  return known;
}

/** Root and the owner change places. */
export function swapWithRoot(id: number): IdLine[] {
  if (id === 0) return [[0, 0, MAX_ID]];
  const lines: IdLine[] = [
    [0, id, 1],
    [1, 1, id - 1],
    [id, 0, 1],
    [id + 1, id + 1, MAX_ID - id - 1],
  ];
  return lines.filter(([, , count]) => count > 0);
}

/**
 * A user namespace by which a disk shows its files to the users of a container, as `ownerNamespace` does to those of the node.
 * @returns a descriptor, to be closed
 * @throws NoUserNamespacesError; any other error is of the moment
 */
export function containerNamespace({ uids, gids }: IdMapping, owner: Owner = { uid: 0, gid: 0 }): Promise<number> {
  return make(composeIds(swapWithRoot(owner.uid), uids), composeIds(swapWithRoot(owner.gid), gids));
}

async function make(uids: readonly IdLine[], gids: readonly IdLine[]): Promise<number> {
  // It lives until its input ends.
  const child = launchChild('unshare', ['--user', 'sh', '-c', 'echo made; read -r end'], { stdin: 'pipe' });
  const made = Promise.withResolvers<boolean>();
  child.stdout.once('data', () => made.resolve(true));
  const ended = followChild(child, 'unshare', { deadline: DEADLINE }).finally(() => made.resolve(false));
  try {
    const isMade = await Promise.race([made.promise, sleep(DEADLINE, false, { ref: false })]);
    if (!isMade) throw notMade((await ended).stderr.trim());
    writeFileSync(`/proc/${child.pid}/uid_map`, textOf(uids));
    writeFileSync(`/proc/${child.pid}/gid_map`, textOf(gids));
    return openSync(`/proc/${child.pid}/ns/user`, 'r');
  } finally {
    closeSync(child.stdin as number);
  }
}

/** @param said by unshare(1) */
function notMade(said: string): Error {
  const message = `no user namespace can be made on this node: ${said || 'unshare did not end'}`;
  const isForbidden = /Operation not permitted|Invalid argument|Function not implemented/.test(said) || isLimitNone();
  return isForbidden ? new NoUserNamespacesError(message) : new Error(message);
}

/** Hardened nodes have a limit of 0 (namespaces(7)). Any other one may be reached now, and not later: both are ENOSPC. */
function isLimitNone(): boolean {
  try {
    return Number(readFileSync('/proc/sys/user/max_user_namespaces', 'utf8')) === 0;
  } catch {
    return false;
  }
}

/** Of a uid_map (user_namespaces(7)). */
const textOf = (lines: readonly IdLine[]): string => lines.map((line) => `${line.join(' ')}\n`).join('');
