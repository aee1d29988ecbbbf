import { chownSync, closeSync } from 'node:fs';
import { PROBE_UID, type Probe, probeArguments, readProbe } from '../../linux/blkid.ts';
import type { BlockDevice } from '../../linux/block.ts';
import { type ChildResult, prepareChild, runChild, type WaitingChild } from '../../linux/child.ts';
import { createFileSystem, type DetachedMount, makeNode } from '../../linux/mounts.ts';
import { PROBE_DEADLINE } from './decide.ts';

/** A mount attached nowhere, in which one blkid finds one device node and nothing else. */
interface Room {
  readonly mount: DetachedMount;
  /** As a path that only this process can use. */
  readonly path: string;
  readonly blkid?: WaitingChild;
}

const NODE = 'disk';

/**
 * Looks what is on disks, as an unprivileged user. Needs no /dev: the node is one of our own, for this device and this reader only, and
 * the device itself is first opened in the child, which alone may come to hang. One blkid is always kept waiting: to become that user
 * takes longer than to look at a disk.
 */
export class Prober {
  #next: Room | undefined;

  constructor() {
    this.prepare();
  }

  /** Has one blkid wait for the next disk. To be called when there is nothing more urgent. */
  prepare(): void {
    try {
      this.#next ??= openRoom(true);
    } catch {
      // Whoever asks for a probe is told why.
    }
  }

  async probe(device: BlockDevice): Promise<Probe> {
    let room: Room | undefined;
    try {
      room = this.#next ?? openRoom(false);
      this.#next = undefined;
      const [major, minor] = device.device.split(':').map(Number) as [number, number];
      makeNode(`${room.path}/${NODE}`, 'block', major, minor);
      chownSync(`${room.path}/${NODE}`, PROBE_UID, PROBE_UID);
      return readProbe(await run(room));
    } catch (error) {
      return { outcome: 'failed', detail: `${(error as Error).message} (it takes util-linux)` };
    } finally {
      if (room) closeSync(room.mount);
    }
  }
}

function openRoom(withBlkid: boolean): Room {
  const mount = createFileSystem('tmpfs', 'hotmount', { size: '4k', mode: '0755' }, ['noSuid', 'noExec']);
  const path = `/proc/self/fd/${mount}`;
  if (!withBlkid) return { mount, path };
  try {
    return { mount, path, blkid: prepareChild('blkid', probeArguments(NODE), { uid: PROBE_UID, cwd: path }) };
  } catch (error) {
    closeSync(mount);
    throw error;
  }
}

async function run({ path, blkid }: Room): Promise<ChildResult> {
  try {
    if (blkid) return await blkid.go(PROBE_DEADLINE);
  } catch {
    // Someone has killed it while it waited.
  }
  return runChild('blkid', probeArguments(NODE), { deadline: PROBE_DEADLINE, uid: PROBE_UID, cwd: path });
}
