import { setTimeout as sleep } from 'node:timers/promises';
import { type ChildResult, runChild } from '../../linux/child.ts';
import { holdersOfMounts } from '../../linux/holders.ts';
import { type Mount, readMountinfo } from '../../linux/mountinfo.ts';
import { detachIn } from '../../linux/namespace-entry.ts';
import { findMounts, type NamespaceMounts, namespaceOf, nodeNamespaces, processIds } from '../../linux/namespaces.ts';
import { patient } from '../../linux/slowness.ts';
import { type AskHolders, findHolders, type Held } from '../containers/held-reports.ts';
import { type Finding, finding } from '../reasons.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { type Mounted, mountsOf } from './actual.ts';
import { hideDirectories, REMOVE_DEADLINE, removeDirectories } from './directories.ts';

/** ms. Writing back to a slow stick may take minutes; then it is detached, and goes on in the background. */
const SYNC_DEADLINE = patient(30_000);
const UNMOUNT_DEADLINE = patient(10_000);
const BUSY_RETRIES = 3;
const BUSY_PAUSE = 150;
/** The process that led to a namespace may end before the namespace is entered, while others live in it. */
const DETACH_ATTEMPTS = 3;

export interface Departure {
  /** What went wrong; undefined where no mount table on the node names the disk any more. */
  readonly finding: Finding | undefined;
  /** Who still had files open on it. */
  readonly held: Held;
  /** Who still has. */
  readonly askHolders: AskHolders;
  readonly stuck: Promise<void> | undefined;
  /** Why what was written to it last may be lost, where that is so. */
  readonly lost: string | undefined;
}

/**
 * Takes a disk away from every mount namespace. What is still there is written back first. A medium that has gone is detached at once:
 * there is nothing to write to, and pods should see that it is gone.
 */
export async function unmountDisk(runDir: RunDir, mounted: Mounted, gone: boolean): Promise<Departure> {
  const mounts = mountsOf(mounted);
  const device = mounts[0]?.device as string;
  const before = findMounts([device]).namespaces;
  const directories = hideDirectories(runDir, mounted);

  const { last, lost } = gone ? { last: await umount(mounts, ['-l']), lost: undefined } : await unmountGently(mounts);
  const remaining = stillThere(mounts);
  const ids = new Set(before.flatMap(({ mounts }) => mounts.map(({ id }) => id)));
  const askHolders: AskHolders = async (pids) => holdersOfMounts(ids, device, pids ?? processesIn(before));
  const held = await findHolders(askHolders);
  if (remaining.length > 0) {
    const detail = last?.timedOut ? 'umount did not end' : (last?.stderr.trim() ?? '');
    return { finding: finding('unmount_failed', { detail }), held, askHolders, stuck: last?.stuck, lost };
  }
  const left = await detachCopies(device);
  const removed = await removeDirectories(runDir, directories);
  const stuck = last?.stuck ?? removed?.stuck;
  const hung = [last, removed].find((child) => child?.stuck);
  return { finding: hung ? hangs(hung) : left, held, askHolders, stuck, lost };
}

async function unmountGently(
  mounts: readonly Mount[],
): Promise<{ last: ChildResult | undefined; lost: string | undefined }> {
  const [mount] = stillThere(mounts);
  const synced = mount && (await runChild('sync', ['-f', mount.mountPoint], { deadline: SYNC_DEADLINE }));
  if (synced?.timedOut) {
    const detached = await umount(mounts, ['-l']);
    return { last: detached?.timedOut ? detached : synced, lost: undefined };
  }
  const lost = synced && synced.code !== 0 ? synced.stderr.trim() : undefined;
  for (let attempt = 0; attempt < BUSY_RETRIES; attempt++) {
    const result = await umount(mounts, []);
    if (result?.code === 0 || result?.timedOut) return { last: result, lost };
    await sleep(BUSY_PAUSE);
  }
  return { last: await umount(mounts, ['-l']), lost };
}

const hangs = ({ command }: Pick<ChildResult, 'command'>): Finding => {
  const deadlines: Readonly<Record<string, number>> = { sync: SYNC_DEADLINE, rmdir: REMOVE_DEADLINE };
  const deadline = deadlines[command] ?? UNMOUNT_DEADLINE;
  return finding('device_hangs', { command, seconds: String(deadline / 1000) });
};

/** Those that still exist, as they are now, in the same order. The kernel reuses the id of a mount at once. */
function stillThere(mounts: readonly Mount[]): Mount[] {
  const present = new Map(readMountinfo().map((mount) => [mount.id, mount]));
  return mounts.flatMap(({ id, device }) => {
    const now = present.get(id);
    return now?.device === device ? [now] : [];
  });
}

/** Several in one child; those that are gone already are left out. */
async function umount(mounts: readonly Mount[], flags: readonly string[]): Promise<ChildResult | undefined> {
  const paths = stillThere(mounts).map(({ mountPoint }) => mountPoint);
  return paths.length === 0 ? undefined : umountPaths(paths, flags);
}

/** umount(8), which waits no longer than a deadline. @throws where it cannot be started */
export const umountPaths = (paths: readonly string[], flags: readonly string[]): Promise<ChildResult> =>
  runChild('umount', ['-n', '-c', '-i', ...flags, '--', ...paths], { deadline: UNMOUNT_DEADLINE });

/**
 * Copies in other namespaces are unmounted by propagation. A private copy, in a pod that mounted the run dir without propagation, stays and
 * keeps the dead disk's file system alive: it is detached there. The node's own mounts are left alone.
 */
export async function detachCopies(device: string): Promise<Finding | undefined> {
  const node = nodeNamespaces();
  let left: Finding | undefined;
  // Where a visit did not come back, the next would not, either.
  const hanging = new Map<string, Finding>();
  for (let attempt = 0; attempt <= DETACH_ATTEMPTS; attempt++) {
    const { namespaces, complete } = findMounts([device]);
    const [first] = namespaces;
    if (!first && complete) return undefined;
    left = first ? stillVisible(first, 'it was mounted there by someone else') : finding('unclear_whether_gone', {});
    const theirs = namespaces.filter(({ namespace: { id } }) => !node.has(id) && !hanging.has(id));
    if (first && theirs.length === 0) return hanging.get(first.namespace.id) ?? left;
    for (const found of theirs) {
      const { errors, hangs } = await detachIn(found.namespace, found.mounts);
      for (const error of errors) left = stillVisible(found, error.message);
      if (hangs) hanging.set(found.namespace.id, left);
    }
  }
  return left;
}

const stillVisible = ({ namespace, mounts }: NamespaceMounts, detail: string): Finding =>
  finding('still_visible', { pid: String(namespace.pid), path: mounts[0]?.mountPoint ?? '', detail });

/** Those that could reach the disk before. */
function processesIn(before: readonly NamespaceMounts[]): number[] {
  const namespaces = new Set(before.map(({ namespace }) => namespace.id));
  return processIds().filter((pid) => namespaces.has(namespaceOf(pid) ?? ''));
}
